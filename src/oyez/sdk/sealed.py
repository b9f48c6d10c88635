"""Opening what travels on one encrypted channel, also after its key has changed."""

import asyncio
import importlib.util
import logging
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import replace

from oyez.sdk.conversation import Event, decoded
from oyez.sdk.encryption import decrypt_with
from oyez.sdk.errors import DecryptionFailed
from oyez.sdk.tasks import Tasks

__all__ = ["DECRYPTION_FAILED", "Opener", "require_pynacl"]

DECRYPTION_FAILED = "oyez:decryption_failed"

log = logging.getLogger("oyez.subscriber")


class Opener:
    """Decrypts events and keeps their order.

    An event that the secret does not open may have been sealed with a new one, so the application
    is asked again, as in pusher-js (spec ``websocket-protocol.md`` 9). What comes meanwhile waits,
    and is judged by the answer as well: a publisher with a wrong key causes one question at a time
    and not one per event. What still cannot be opened is told as ``oyez:decryption_failed``.

    Args:
        deliver: takes events in their order.
        renew: asks the application for the secret.
        size: events that wait for an answer at most; the oldest go first.
    """

    def __init__(
        self,
        deliver: Callable[[Event], None],
        renew: Callable[[], Awaitable[bytes]],
        size: int,
        tasks: Tasks,
    ) -> None:
        self.secret = b""
        self._deliver = deliver
        self._renew = renew
        self._tasks = tasks
        self._sealed: deque[Event] = deque(maxlen=size)
        self._renewing = False

    def receive(self, event: Event) -> None:
        """Take an event as it came."""
        if self._renewing:
            self._sealed.append(event)
            return
        try:
            opened = _opened(event, self.secret)
        except DecryptionFailed:
            self._renewing = True
            self._sealed.append(event)
            self._tasks.start(self._open_with_new_secret())
        else:
            self._deliver(opened)

    async def _open_with_new_secret(self) -> None:
        reason = ""
        try:
            self.secret = await self._renew()
        except asyncio.CancelledError:
            raise
        except Exception as error:  # the application's own
            reason = str(error)
        finally:
            self._renewing = False
        while self._sealed:
            event = self._sealed.popleft()
            try:
                self._deliver(_opened(event, self.secret))
            except DecryptionFailed as error:
                log.warning("%s on %s: %s", event.name, event.channel, reason or error)
                data = {"event": event.name, "error": reason or str(error)}
                self._deliver(
                    Event(DECRYPTION_FAILED, event.channel, data, event.text, system=True)
                )


def require_pynacl() -> None:
    """Say what to install before anything that is encrypted can come.

    Raises:
        ModuleNotFoundError: the library is not there.
    """
    if importlib.util.find_spec("nacl") is None:
        raise ModuleNotFoundError(
            "encrypted channels need the library PyNaCl: pip install 'oyez[encryption]'",
            name="nacl",
        )


def _opened(event: Event, secret: bytes) -> Event:
    text = decrypt_with(secret, event.text)
    return replace(event, data=decoded(text), text=text)
