"""Building the webhooks of a node from its settings."""

from collections.abc import Mapping

import httpx2

from oyez.server.apps import Apps
from oyez.server.config import Settings, is_loopback
from oyez.server.engine.cluster import ClusterEngine
from oyez.server.webhooks import Webhooks
from oyez.server.webhooks.courier import Policy
from oyez.server.webhooks.ledger import Ledger
from oyez.server.webhooks.local import LocalLedger
from oyez.server.webhooks.outbox import Outbox
from oyez.server.webhooks.public import is_public
from oyez.server.webhooks.senders import HttpSender, PythonSender, load_hook
from oyez.server.webhooks.shared import SharedLedger, Source

__all__ = ["build_webhooks", "outbox_url"]

_PYTHON = "python:"


def build_webhooks(settings: Settings, apps: Apps, cluster: ClusterEngine | None) -> Webhooks:
    """Return the webhooks that the settings ask for.

    Args:
        cluster: the engine, if there may be other nodes.

    Raises:
        ValueError: a Python function cannot be loaded.
        OSError: the data directory cannot be made.
    """
    delivery = settings.webhooks
    private = delivery.allow_private
    if private is None:
        private = is_loopback(settings.host)
    may_ask = _anybody if private else is_public
    tls = httpx2.create_ssl_context(trust_env=False)
    found = []
    for each in settings.apps:
        app = apps.by_id(each.id)
        for endpoint in each.endpoints():
            if app is None:
                continue
            sender: HttpSender | PythonSender
            if endpoint.target.startswith(_PYTHON):
                hook = load_hook(endpoint.target.removeprefix(_PYTHON))
                sender = PythonSender(hook, timeout=delivery.timeout)
            else:
                sender = HttpSender(timeout=delivery.timeout, may_ask=may_ask, tls=tls)
            found.append((app, endpoint, sender))
    policy = Policy(give_up=delivery.retry_seconds, most_pending=delivery.most_pending)
    graces = {app.id: float(app.limits.webhook_delay) for app, _, _ in found}
    return Webhooks(found, _ledger(settings, graces, cluster), policy)


def _anybody(address: str) -> bool:
    """Allow every address: what stands behind a private one is trusted by its operator."""
    return True


def _ledger(
    settings: Settings, graces: Mapping[str, float], cluster: ClusterEngine | None
) -> Ledger:
    url = outbox_url(settings)
    if cluster is None:
        return LocalLedger(Outbox(url), graces)
    source = Source(cluster.channels, cluster.roll, settings.cluster.lease_seconds)
    return SharedLedger(url, graces, source)


def outbox_url(settings: Settings) -> str:
    """Return where webhooks are kept, and make the data directory if it is there."""
    if settings.webhooks.outbox:
        return settings.webhooks.outbox
    directory = settings.data_directory
    if not directory.is_dir():
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)  # what is in it is nobody's affair
    return f"sqlite:///{directory / 'outbox.db'}"
