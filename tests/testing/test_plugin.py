"""The fixtures, in test files as users write them."""

import pytest

from tests.testing.conftest import ANYIO, ASYNCIO, Run

pytestmark = pytest.mark.xdist_group("testing")


def test_a_plain_test_publishes_and_asserts(run: Run) -> None:
    found = run(
        """
        def test_published(oyez_server, oyez_client):
            oyez_client.trigger(["orders", "audit"], "paid", {"id": 1}, socket_id="1.2")
            event = oyez_server.assert_published("orders", "paid", data={"id": 1}, times=1)
            assert (event.text, event.socket_id) == ('{"id":1}', "1.2")
            assert [each.channel for each in oyez_server.published] == ["orders", "audit"]

        def test_nothing_is_left_for_the_next_test(oyez_server):
            oyez_server.assert_nothing_published()
            assert oyez_server.webhooks == []
        """
    )

    found.assert_outcomes(passed=2)


def test_a_failure_shows_what_there_was_instead(run: Run) -> None:
    found = run(
        """
        def test_wrong_data(oyez_server, oyez_client):
            oyez_client.trigger("orders", "paid", {"id": 1, "total": 20})
            oyez_server.assert_published("orders", "paid", data={"id": 1, "total": 25})

        def test_wrong_channel(oyez_server, oyez_client):
            oyez_client.trigger("orders", "paid", "now")
            oyez_server.assert_published("order", "paid")

        def test_too_many(oyez_server, oyez_client):
            oyez_client.trigger("orders", "paid", "now")
            oyez_server.assert_nothing_published()

        def test_never(oyez_server):
            oyez_server.wait_for_webhook("channel_vacated", channel="orders", timeout=0.01)
        """
    )

    found.assert_outcomes(failed=4)
    found.stdout.fnmatch_lines(
        [
            "E*AssertionError: no event 'paid' on 'orders' with this data was published",
            "E*closest data, - expected, + published:",
            "E*- {'id': 1, 'total': 25}",
            "E*+ {'id': 1, 'total': 20}",
            "E*published:",
            "E*orders  paid  {'id': 1, 'total': 20}",
            "E*AssertionError: no event 'paid' on 'order' was published",
            "E*orders  paid  'now'",
            "E*AssertionError: there should be no event",
            "E*no webhook 'channel_vacated' channel='orders' within 0.01 s",
            "E*nothing was told",
        ]
    )
    assert "wanted.missing" not in found.stdout.str(), "our own frames belong to nobody's traceback"


@pytest.mark.parametrize(("mark", "plugin"), [("asyncio", ASYNCIO), ("anyio", ANYIO)])
def test_an_asyncio_test_awaits(run: Run, mark: str, plugin: tuple[str, str]) -> None:
    found = run(
        f"""
        import asyncio, pytest

        pytestmark = pytest.mark.{mark}

        @pytest.fixture
        def anyio_backend():
            return "asyncio"

        async def test_published(oyez_server, oyez_async_client):
            publishing = asyncio.create_task(oyez_async_client.trigger("orders", "paid", 1))
            event = await oyez_server.async_wait_for_event("orders", "paid")
            assert event.data == 1
            await publishing

        async def test_in_the_next_event_loop(oyez_server, oyez_async_client):
            assert await oyez_async_client.channels() == {{"channels": {{}}}}

        async def test_waiting_must_not_stop_the_loop(oyez_server):
            with pytest.raises(RuntimeError, match="async_"):
                oyez_server.wait_for_event("orders")
        """,
        *plugin,
    )

    found.assert_outcomes(passed=3)


def test_without_any_asyncio_plugin(run: Run) -> None:
    found = run(
        """
        import asyncio

        def test_it(oyez_server, oyez_async_client):
            asyncio.run(oyez_async_client.trigger("orders", "paid", {}))
            asyncio.run(oyez_async_client.trigger("orders", "paid", {}))
            oyez_server.assert_published("orders", times=2)
        """
    )

    found.assert_outcomes(passed=1)


def test_settings_by_fixture_and_by_marker(run: Run) -> None:
    found = run(
        """
        import pytest
        from oyez import BadRequest

        seen = []

        def test_fixture(oyez_server, oyez_client):
            seen.append(oyez_server)
            assert (oyez_server.app_id, oyez_server.key) == ("7", "shop")
            with pytest.raises(BadRequest):
                oyez_client.trigger("orders", "longer", {})

        @pytest.mark.oyez(app={"limits": {"event_name": 20}})
        def test_marker(oyez_server, oyez_client):
            seen.append(oyez_server)
            assert oyez_server.key == "shop"
            oyez_client.trigger("orders", "longer", {})

        @pytest.mark.oyez(app={"limits": {"event_name": 20}})
        def test_the_same_marker_is_the_same_server(oyez_server):
            assert oyez_server is seen[1] is not seen[0]

        class TestOverridden:
            @pytest.fixture
            def oyez_settings(self):
                return {"path_prefix": "/realtime"}

            def test_fixture_of_a_class(self, oyez_server, oyez_client):
                assert "/realtime/apps/" in oyez_server.url
                assert oyez_client.channels() == {"channels": {}}
        """,
        conftest="""
        import pytest

        @pytest.fixture(scope="session")
        def oyez_settings():
            token = {"key": "shop", "secret": "s"}
            return {"app": {"id": "7", **token, "limits": {"event_name": 5}}}
        """,
    )

    found.assert_outcomes(passed=4)


def test_a_wrong_setting_is_named(run: Run) -> None:
    found = run(
        """
        import pytest

        @pytest.mark.oyez(app={"client_event": True})
        def test_it(oyez_server): pass

        @pytest.mark.oyez({"app": {}})
        def test_positional(oyez_server): pass
        """
    )

    found.assert_outcomes(errors=2)
    found.stdout.fnmatch_lines(["*client_event*", "*takes settings by name only*"])


@pytest.mark.parametrize(
    ("arguments", "ini", "same"),
    [((), "", True), (("--oyez-scope=function",), "", False), ((), "oyez_scope = function", False)],
)
def test_a_server_lives_as_long_as_it_is_told_to(
    run: Run, pytester: pytest.Pytester, arguments: tuple[str, ...], ini: str, same: bool
) -> None:
    pytester.makeini(f"[pytest]\n{ini}\n")
    found = run(
        f"""
        ports = set()

        def test_one(oyez_server): ports.add(oyez_server.key)
        def test_two(oyez_server): ports.add(oyez_server.key)
        def test_both(): assert (len(ports) == 1) is {same}
        """,
        *arguments,
    )

    found.assert_outcomes(passed=3)


@pytest.mark.soak
def test_a_session_fixture_uses_the_shared_server(run: Run) -> None:
    found = run(
        """
        import pytest

        @pytest.fixture(scope="session")
        def application(oyez_shared_server):
            return oyez_shared_server.environment["PUSHER_URL"]

        def test_it(application, oyez_server):
            assert application == oyez_server.url
        """
    )

    found.assert_outcomes(passed=1)


@pytest.mark.soak
def test_each_worker_of_xdist_has_its_own(run: Run) -> None:
    found = run(
        """
        import pytest

        @pytest.mark.parametrize("number", range(6))
        def test_it(oyez_server, oyez_client, number):
            oyez_client.trigger("orders", "paid", number)
            assert [event.data for event in oyez_server.published] == [number]
        """,
        "-p",
        "xdist.plugin",
        "-n2",
    )

    found.assert_outcomes(passed=6)


def test_output_logging_and_environment_are_left_alone(run: Run) -> None:
    found = run(
        """
        import logging, os, signal, threading
        import structlog

        os.environ["OYEZ_PORT"] = "not a port"
        handlers, level = list(logging.root.handlers), logging.root.level
        before = signal.getsignal(signal.SIGTERM)

        def test_it(oyez_server, oyez_client, capsys, caplog):
            caplog.set_level(logging.DEBUG, logger="oyez.server")
            assert not structlog.is_configured()
            oyez_client.trigger("orders", "paid", {})
            connect(oyez_server)
            oyez_server.wait_for_webhook("channel_occupied")
            oyez_server.clear()
            assert capsys.readouterr() == ("", "")
            assert "connection closed" in caplog.text
            assert signal.getsignal(signal.SIGTERM) is before
            assert logging.root.level == level

        def connect(server):
            import json
            from websockets.sync.client import connect
            url = f"ws://{server.host}:{server.port}/app/{server.key}?protocol=7"
            with connect(url, proxy=None) as client:
                data = {"channel": "orders"}
                client.send(json.dumps({"event": "pusher:subscribe", "data": data}))
                while "succeeded" not in client.recv():
                    pass
        """
    )

    found.assert_outcomes(passed=1)


def test_without_the_server_it_says_what_to_install(run: Run) -> None:
    found = run(
        """
        def test_not_ours(): pass
        def test_ours(oyez_server): pass
        def test_ours_shared(oyez_client): pass
        """,
        conftest="import sys; sys.modules['structlog'] = None",
    )

    found.assert_outcomes(passed=1, errors=2)
    found.stdout.fnmatch_lines(
        ["*structlog is not installed; run: pip install 'oyez?server?'"], consecutive=False
    )


def test_a_run_that_does_not_use_it_loads_no_server(run: Run) -> None:
    found = run(
        """
        import sys

        def test_it():
            loaded = {"oyez.server.node", "pydantic", "structlog", "oyez.sdk.client"}
            assert not loaded & set(sys.modules)
        """
    )

    found.assert_outcomes(passed=1)


def test_the_options_are_documented(run: Run) -> None:
    found = run("", "--help")
    found.stdout.fnmatch_lines(["*--oyez-scope=*", "*oyez_scope *"])

    found = run("", "--markers")
    found.stdout.fnmatch_lines(["*pytest.mark.oyez(*"])

    found = run("", "--fixtures")
    found.stdout.fnmatch_lines(["oyez_client*", "*A client of the server's app.*"])
