"""Receivers, and servers that tell them what happens."""

from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from sqlalchemy import create_engine

from tests.conftest import RunningServer
from tests.webhooks.postgres import postgres_is_installed, running_postgres
from tests.webhooks.receiver import Behaviour, Receiver, accepts

ALL = (
    '"channel_occupied", "channel_vacated", "member_added", "member_removed", '
    '"client_event", "cache_miss", "subscription_count"'
)


def endpoint(url: str, *, events: str = ALL, more: str = "") -> str:
    return f'[[apps.webhooks]]\nurl = "{url}"\nevents = [{events}]\n{more}\n'


class Configured:
    """Starts servers that share one data directory, as restarts of one."""

    def __init__(self, start: Callable[..., RunningServer], directory: Path) -> None:
        self._start = start
        self.directory = directory

    def __call__(
        self,
        *endpoints: str,
        limits: str = "webhook_delay = 1",
        app: str = "",
        top: str = "",
        executed: bool = False,
    ) -> RunningServer:
        return self._start(
            f'data_directory = "{self.directory}"\n{top}\n'
            '[[apps]]\nid = "1001"\nkey = "app-key"\nsecret = "app-secret"\nclient_events = true\n'
            "subscription_count = true\n"
            + app
            + "\n".join(["", *endpoints])
            + f"\n[apps.limits]\n{limits}\n",
            executed=executed,
        )


@pytest.fixture
def configured(start_server: Callable[..., RunningServer], tmp_path: Path) -> Configured:
    return Configured(start_server, tmp_path / "data")


@pytest.fixture
def receivers() -> Iterator[Callable[..., Receiver]]:
    made: list[Receiver] = []

    def make(behaviour: Behaviour = accepts) -> Receiver:
        made.append(Receiver(behaviour))
        return made[-1]

    yield make
    for receiver in made:
        receiver.close()


@pytest.fixture
def receiver(receivers: Callable[..., Receiver]) -> Receiver:
    return receivers()


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    with running_postgres() as url:
        yield url


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=postgres_is_installed)])
def shared_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A new database."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'outbox.db'}"
    url: str = request.getfixturevalue("postgres")
    name = f"test_{uuid4().hex}"
    engine = create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.exec_driver_sql(f"CREATE DATABASE {name}")
    engine.dispose()
    return url.removesuffix("/postgres") + f"/{name}"
