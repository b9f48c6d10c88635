"""Runs checks, several at a time; whatever a server does, every check ends with a result."""

import asyncio
import fnmatch
import time
from collections.abc import Iterable
from dataclasses import replace

import httpx2

from oyez.conformance.check import Check
from oyez.conformance.client import Closed
from oyez.conformance.expectations import Failed, Skipped
from oyez.conformance.probe import Probe
from oyez.conformance.report import Outcome, Report, Result
from oyez.conformance.signed import http_client
from oyez.conformance.target import Target

__all__ = ["AT_ONCE", "run_checks", "selected"]

AT_ONCE = 8
_RESTART_SECONDS = 15
_LONGEST = 40.0
_LONGEST_SLOW = 300.0

_OFF = {
    "client_events": "client events are off for this app",
    "subscription_count": "subscription counting is off for this app",
    "users": "user authentication is off for this app",
    "fallbacks": "the server has no HTTP fallbacks",
}
_OPTIONS = {
    "crowded": "needs --crowded-url, a server that takes few connections",
    "stop": "needs --stop-command, which ends the server",
    "plain": "needs an http:// URL",
}


def selected(checks: Iterable[Check], only: str | None) -> list[Check]:
    """The checks whose id starts with ``only`` or matches it as a shell pattern."""
    if not only:
        return list(checks)
    pattern = only if any(character in only for character in "*?[") else f"{only}*"
    return [check for check in checks if fnmatch.fnmatchcase(check.id, pattern)]


async def run_checks(
    target: Target, checks: list[Check], server: str, *, at_once: int = AT_ONCE
) -> Report:
    """Run all checks; those that stop the server after all others, alone.

    Several run at once, unless the server is seen to close a client that does nothing: some check
    has ended it then, and all are run again, one by one, to find out which.
    """
    async with http_client(target) as http:
        silent = await _unreachable(target)
        if silent:
            return Report(server, target.url, [_result(each, "fail", silent) for each in checks])
        missing = await _missing(target, http)
        skipped = [_skipped(check, missing) for check in checks]
        to_run = [check for check, skip in zip(checks, skipped, strict=True) if skip is None]
        last = [check for check in to_run if "stop" in check.needs]
        others = [check for check in to_run if "stop" not in check.needs]
        results = [result for result in skipped if result is not None]
        found = await _run_together(target, http, others, at_once) if at_once > 1 else None
        results += found if found is not None else await _run_singly(target, http, others)
        results += [await _run(check, target, http) for check in last]
    order = {check.id: place for place, check in enumerate(checks)}
    return Report(server, target.url, sorted(results, key=lambda result: order[result.id]))


async def _run_together(
    target: Target, http: httpx2.AsyncClient, checks: list[Check], at_once: int
) -> list[Result] | None:
    """Run several checks at a time; None if the server has not survived them all."""
    gate = asyncio.Semaphore(at_once)
    bystander = Probe(target, http)
    try:
        client = await bystander.connect()
    except Failed:
        client = None  # every check will say what is wrong

    async def run(check: Check) -> Result:
        async with gate:
            if client is not None and client.socket.close_code is not None:
                return _result(check, "skipped")
            return await _run(check, target, http)

    results = await asyncio.gather(*map(run, checks))
    lost = client is not None and client.socket.close_code is not None
    await bystander.close()
    return None if lost else results


async def _run_singly(
    target: Target, http: httpx2.AsyncClient, checks: list[Check]
) -> list[Result]:
    """Run one check at a time, and see after each whether the server is still there."""
    results: list[Result] = []
    for place, check in enumerate(checks):
        if not await _restarted(target, http):
            gone = "expected a server that greets clients, got none any more"
            return results + [_result(each, "fail", gone) for each in checks[place:]]
        result = await _run(check, target, http)
        if not await _greets(target, http):
            detail = "expected the server to stay, got its end"
            result = replace(result, outcome="fail", detail=detail)
        results.append(result)
    return results


def _skipped(check: Check, missing: dict[str, str]) -> Result | None:
    reasons = [missing[need] for need in check.needs if need in missing]
    return _result(check, "skipped", reasons[0]) if reasons else None


async def _restarted(target: Target, http: httpx2.AsyncClient) -> bool:
    """Wait for a server that somebody starts again; whether it is there."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + _RESTART_SECONDS
    while loop.time() < deadline:
        if await _greets(target, http):
            return True
        await asyncio.sleep(0.5)
    return False


async def _greets(target: Target, http: httpx2.AsyncClient) -> bool:
    probe = Probe(target, http)
    try:
        await probe.connect()
    except Failed:
        return False
    finally:
        await probe.close()
    return True


async def _run(check: Check, target: Target, http: httpx2.AsyncClient) -> Result:
    probe = Probe(target, http)
    start = time.perf_counter()
    limit = _LONGEST_SLOW if target.slow else _LONGEST
    try:
        async with asyncio.timeout(limit):
            await check.run(probe)
        outcome, detail = "pass", ""
    except Skipped as skipped:
        outcome, detail = "skipped", str(skipped)
    except Failed as failed:
        outcome, detail = "fail", str(failed)
    except TimeoutError:
        outcome, detail = "fail", f"expected the check to end, still waiting after {limit:g} s"
    except Exception as error:  # an answer so strange that the check itself fell over it
        outcome, detail = "fail", f"expected an answer of the usual form, got {error!r} over it"
    finally:
        await probe.close()
    return _result(check, outcome, detail, time.perf_counter() - start)  # type: ignore[arg-type]


def _result(check: Check, outcome: Outcome, detail: str = "", seconds: float = 0) -> Result:
    return Result(
        check.id,
        check.rule,
        check.section,
        check.source.words,
        check.source.severity,
        outcome,
        detail,
        round(seconds, 3),
    )


async def _unreachable(target: Target) -> str:
    """Why there is no point in asking anything; empty if there is."""
    try:
        _, writer = await asyncio.wait_for(
            asyncio.open_connection(target.host, target.port), target.patience
        )
    except (OSError, TimeoutError) as error:
        return f"expected a server at {target.host}:{target.port}, got {error or 'no answer'!s}"
    writer.close()
    return ""


async def _missing(target: Target, http: httpx2.AsyncClient) -> dict[str, str]:
    """What checks may need and this run does not have, with the reason for the report."""
    names = set(type(target.second_apps).__slots__) - target.second_apps.given()
    missing = {
        name: f"needs --second-app {name}=…, credentials of an app with that setting"
        for name in names
    }
    have = {
        "crowded": target.crowded_url,
        "stop": target.stop_command,
        "plain": not target.tls,
    }
    missing.update((name, _OPTIONS[name]) for name, given in have.items() if not given)
    for name, is_off in (
        ("client_events", _client_events_are_off),
        ("subscription_count", _counting_is_off),
        ("users", _users_are_off),
        ("fallbacks", _fallbacks_are_missing),
    ):
        probe = Probe(target, http)
        try:
            async with asyncio.timeout(target.patience * 4):
                if await is_off(probe):
                    missing[name] = _OFF[name]
        except (Failed, TimeoutError):
            pass  # it does not say that the setting is off; the checks will show what is wrong
        except Exception:  # noqa: S110 - a strange answer, as in `_run`
            pass
        finally:
            await probe.close()
    return missing


async def _client_events_are_off(probe: Probe) -> bool:
    channel = probe.channel("private-")
    client = await probe.subscribed(channel)
    await client.send("client-probe", {}, channel=channel)
    refusals = [m for m in await client.read_until_pong() if m.event == "pusher:error"]
    return any("enable" in refusal.error_text() for refusal in refusals)


async def _counting_is_off(probe: Probe) -> bool:
    answer = await probe.api.get(f"/channels/{probe.channel()}", info="subscription_count")
    return answer.status == 400 and "not enabled" in answer.text


async def _users_are_off(probe: Probe) -> bool:
    client = await probe.connect()
    data = '{"id":"probe"}'
    await client.send("pusher:signin", {"auth": client.user_auth(data), "user_data": data})
    try:
        message = await client.wait_for("pusher:error", seconds=0.5)
    except Closed:
        return False
    return "not enabled" in message.error_text()


async def _fallbacks_are_missing(probe: Probe) -> bool:
    response = await probe.fallback().post("/xhr?protocol=7&client=js&version=8.6.0")
    return response.status_code in (404, 405)
