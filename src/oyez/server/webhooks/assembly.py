"""Building the webhooks of a node from its settings."""

from collections.abc import Iterable

from oyez.protocol.app import App
from oyez.server.apps import Apps
from oyez.server.config import Settings, is_loopback
from oyez.server.webhooks import Webhooks
from oyez.server.webhooks.courier import Policy
from oyez.server.webhooks.ledger import Ledger
from oyez.server.webhooks.local import LocalLedger
from oyez.server.webhooks.outbox import Outbox
from oyez.server.webhooks.senders import HttpSender, PythonSender, load_hook

__all__ = ["build_webhooks"]

_PYTHON = "python:"


def build_webhooks(settings: Settings, apps: Apps) -> Webhooks:
    """The webhooks that the settings ask for.

    Raises:
        ValueError: a Python function cannot be loaded.
        OSError: the data directory cannot be made.
    """
    delivery = settings.webhooks
    private = delivery.allow_private
    if private is None:
        private = is_loopback(settings.host)
    http = HttpSender(timeout=delivery.timeout, allow_private=private)
    found = []
    for each in settings.apps:
        app = apps.by_id(each.id)
        for endpoint in each.endpoints():
            if app is None:
                continue
            sender: HttpSender | PythonSender = http
            if endpoint.target.startswith(_PYTHON):
                hook = load_hook(endpoint.target.removeprefix(_PYTHON))
                sender = PythonSender(hook, timeout=delivery.timeout)
            found.append((app, endpoint, sender))
    policy = Policy(give_up=delivery.retry_seconds, most_pending=delivery.most_pending)
    return Webhooks(found, _ledger(settings, [app for app, _, _ in found]), policy)


def _ledger(settings: Settings, apps: Iterable[App]) -> Ledger:
    delays = {app.id: float(app.limits.webhook_delay) for app in apps}
    return LocalLedger(Outbox(_outbox_url(settings)), delays)


def _outbox_url(settings: Settings) -> str:
    if settings.webhooks.outbox:
        return settings.webhooks.outbox
    settings.data_directory.mkdir(parents=True, exist_ok=True)
    return f"sqlite:///{settings.data_directory / 'outbox.db'}"
