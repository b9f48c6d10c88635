"""Official libraries, unmodified, against the server on a real port.

The Node process and the authorization endpoint live as long as the run; receivers are made by a
test and disconnected after it. Nothing here sleeps: a test waits for what a library reports.
"""

import uuid
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
from playwright.sync_api import Page
from pusher import Pusher

from tests.conftest import RunningServer
from tests.end_to_end.authorization import Authorization, SignedBy, serve_authorizations
from tests.end_to_end.browser import open_browser
from tests.end_to_end.driver import Application, Driver
from tests.end_to_end.publishers import NpmPusher, Sdk, open_pypi_pusher
from tests.end_to_end.receivers import Connect, Echo, PusherJs, start_echo, start_pusher_js

SDKS = ["PyPI pusher", "npm pusher"]
MASTER_KEY = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="  # of the encrypted channels


@pytest.fixture(scope="session")
def app(server: RunningServer) -> Application:
    return Application(
        server.host, server.port, server.app_id, server.key, server.secret, MASTER_KEY
    )


@pytest.fixture(scope="session")
def impostor(app: Application) -> Application:
    """The same app with a secret that is not the right one."""
    return replace(app, secret="not-the-secret")


@pytest.fixture(scope="session")
def driver() -> Iterator[Driver]:
    with Driver() as driver:
        yield driver


@pytest.fixture(scope="session")
def pypi_pusher(app: Application) -> Iterator[Pusher]:
    with open_pypi_pusher(app) as sdk:
        yield sdk


@pytest.fixture(scope="session")
def npm_pusher(driver: Driver, app: Application) -> NpmPusher:
    return NpmPusher(driver, app)


@pytest.fixture(params=SDKS)
def sdk(request: pytest.FixtureRequest, pypi_pusher: Pusher, npm_pusher: NpmPusher) -> Sdk:
    """Runs the test once with each official server library."""
    sdks: dict[str, Sdk] = {"PyPI pusher": pypi_pusher, "npm pusher": npm_pusher}
    return sdks[request.param]


@pytest.fixture(params=SDKS)
def signer(request: pytest.FixtureRequest) -> str:
    """Runs the test once with each official server library; an argument for `signed_by`."""
    name: str = request.param
    return name


@pytest.fixture(scope="session")
def endpoint(pypi_pusher: Pusher) -> Iterator[str]:
    with serve_authorizations(pypi_pusher) as url:
        yield url


@pytest.fixture(scope="session")
def signed_by(app: Application, endpoint: str) -> SignedBy:
    return SignedBy(app, endpoint)


@pytest.fixture(scope="session")
def wrongly_signed_by(impostor: Application) -> Iterator[SignedBy]:
    with open_pypi_pusher(impostor) as sdk, serve_authorizations(sdk) as url:
        yield SignedBy(impostor, url)


@pytest.fixture
def connect_pusher_js(driver: Driver, app: Application) -> Iterator[Connect[PusherJs]]:
    clients: list[PusherJs] = []

    def connect(
        authorization: Authorization | None = None,
        authentication: Authorization | None = None,
    ) -> PusherJs:
        client = start_pusher_js(driver, app, authorization, authentication)
        clients.append(client)
        client.wait_until("connected")
        return client

    yield connect
    for client in clients:
        client.disconnect()


@pytest.fixture
def connect_echo(driver: Driver, app: Application) -> Iterator[Connect[Echo]]:
    clients: list[Echo] = []

    def connect(
        authorization: Authorization | None = None,
        authentication: Authorization | None = None,
    ) -> Echo:
        client = start_echo(driver, app, authorization, authentication=authentication)
        clients.append(client)
        client.wait_until("connected")
        return client

    yield connect
    for client in clients:
        client.disconnect()


# Not for the session: while Playwright runs, no other test of the process can use asyncio.
@pytest.fixture(scope="module")
def browser_page() -> Iterator[Page]:
    with open_browser() as page:
        yield page


@pytest.fixture
def fresh() -> Callable[[str], str]:
    """Makes a name that no other test uses, so that tests can share a server."""
    suffix = uuid.uuid4().hex[:8]
    return lambda name: f"{name}-{suffix}"
