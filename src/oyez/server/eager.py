"""Running a coroutine at once as far as it goes, and as a task only if it has to wait.

With the memory engine nothing on the way of an event waits, so a publish or a client message is
done before its caller returns: no task, no turn of the event loop. (``asyncio`` has this as eager
tasks from Python 3.12 on; 3.11 is our floor.) Code run this way must not rely on
``asyncio.current_task`` before its first wait; an engine that waits does so in a task of its own.
"""

import asyncio
from collections.abc import Callable, Coroutine, Generator
from types import coroutine
from typing import Any, TypeVar

__all__ = ["run"]

Result = TypeVar("Result")


def run(
    work: Coroutine[Any, Any, Result],
    later: Callable[[Result], None],
    tasks: set[asyncio.Task[None]],
) -> Result | None:
    """Run ``work`` as far as it goes.

    Args:
        work: handles its own errors; one that escapes before the first wait is raised here. Its
            result is never None.
        later: gets the result if ``work`` had to wait.
        tasks: holds the task while it runs, so that its owner can wait for it.

    Returns:
        The result, or None if it comes later.
    """
    try:
        waits_for = work.send(None)
    except StopIteration as stop:
        return stop.value  # type: ignore[no-any-return]
    task = asyncio.get_running_loop().create_task(_finish(work, waits_for, later))
    tasks.add(task)
    task.add_done_callback(tasks.discard)
    return None


async def _finish(
    work: Coroutine[Any, Any, Result], waits_for: Any, later: Callable[[Result], None]
) -> None:
    later(await _resume(work, waits_for))


@coroutine
def _resume(work: Coroutine[Any, Any, Result], waits_for: Any) -> Generator[Any, Any, Result]:
    """Wait for what ``work`` waits for, then go on with it inside the current task."""
    try:
        while True:
            try:
                answer = yield waits_for
            except GeneratorExit:
                raise
            except BaseException as error:  # cancellation, too, belongs to the work
                waits_for = work.throw(error)
            else:
                waits_for = work.send(answer)
    except StopIteration as stop:
        return stop.value  # type: ignore[no-any-return]
    finally:
        work.close()
