"""The settings of a test's server: fresh credentials, free ports, no waiting; then the test's."""

import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic_settings import BaseSettings, PydanticBaseSettingsSource

from oyez.protocol.webhooks import EVENT_TYPES
from oyez.server.config import Settings
from oyez.testing.tables import merged

__all__ = ["build_settings"]

_SERVER: dict[str, Any] = {
    "host": "127.0.0.1",
    "port": 0,
    "admin_port": 0,
    "transport": "asyncio",
    "drain_seconds": 0,
    # A receiver that fails in a test fails for good: nobody wants to wait for the next attempt.
    "webhooks": {"timeout": 5, "retry_seconds": 0},
}
_APP: dict[str, Any] = {"name": "test", "client_events": True, "limits": {"webhook_delay": 0}}


class _OnlyGiven(Settings):
    """Reads no environment: what is set for a real server is not meant for this one."""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return (init_settings,)


def build_settings(given: Mapping[str, Any], *, webhooks_to: str, directory: Path) -> Settings:
    """What a server is started with.

    Args:
        given: settings as in ``oyez.toml``, and under ``app`` those of the one app that the kit
            works with. Its webhooks get what happens beside the kit.
        webhooks_to: URL that is told everything.
        directory: where the server may keep files.

    Raises:
        ValueError: a setting is unknown or out of range.
    """
    rest = dict(given)
    app = merged(_APP, _credentials(rest.pop("app", {})))
    receiver = {"url": webhooks_to, "events": list(EVENT_TYPES), "batching": False}
    app["webhooks"] = [receiver, *app.get("webhooks", ())]
    apps = [app, *rest.pop("apps", ())]
    return _OnlyGiven(**merged({**_SERVER, "data_directory": directory}, {**rest, "apps": apps}))


def _credentials(app: Mapping[str, Any]) -> dict[str, Any]:
    """``app``, with an id and a token of its own unless it brings them."""
    found = {"id": str(secrets.randbelow(9 * 10**8) + 10**8)}
    if "tokens" not in app:
        found |= {"key": secrets.token_hex(10), "secret": secrets.token_hex(16)}
    return {**found, **app}
