"""The apps of this server: found by id in the HTTP API, by key on a WebSocket."""

from collections.abc import Iterable, Iterator

from oyez.protocol.app import App

__all__ = ["Apps"]


class Apps:
    """All configured apps.

    Raises:
        ValueError: two apps share an id or a key.
    """

    def __init__(self, apps: Iterable[App]) -> None:
        self._by_id: dict[str, App] = {}
        self._by_key: dict[str, App] = {}
        for app in apps:
            if app.id in self._by_id:
                raise ValueError(f"two apps have the id {app.id}")
            self._by_id[app.id] = app
            for token in app.tokens:
                if token.key in self._by_key:
                    raise ValueError(f"two tokens have the key {token.key}")
                self._by_key[token.key] = app

    def __iter__(self) -> Iterator[App]:
        return iter(self._by_id.values())

    def by_id(self, app_id: str) -> App | None:
        """The app named in an API path."""
        return self._by_id.get(app_id)

    def by_key(self, key: str) -> App | None:
        """The app named in a WebSocket URL."""
        return self._by_key.get(key)
