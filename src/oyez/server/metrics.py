"""What is counted, and its Prometheus text.

Counters are plain integers that the parts of the node increment. Gauges are not kept at all: they
are read off the hub and the engine when somebody asks, so they cannot drift from the truth.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Protocol

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from oyez import __version__
from oyez.protocol.app import App
from oyez.protocol.channels import is_internal
from oyez.protocol.errors import CloseCode
from oyez.server.engine import Engine
from oyez.server.hub import Hub

__all__ = ["CONTENT_TYPE", "Counters", "Metrics"]

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

# Those of RFC 6455 and its registry that an implementation sends or reports, and ours: clients may
# send any, and must not choose how many time series there are, nor what we are said to have done.
_OF_CLIENTS = frozenset(range(1000, 1016)) - {1004}
_OURS = _OF_CLIENTS | {*CloseCode}


@dataclass(slots=True)
class Counters:
    """Counts since the start of this node.

    Attributes:
        requests: answered HTTP requests by status.
        opened: WebSocket connections accepted.
        closed: WebSocket connections ended, by close code; what only clients say is 0, also where
            they say one of ours.
        refusals: requests of clients that were refused.
        reached: limits that were reached, by the name of their setting.
    """

    requests: Counter[int] = field(default_factory=Counter)
    opened: int = 0
    closed: Counter[int] = field(default_factory=Counter)
    refusals: int = 0
    reached: Counter[str] = field(default_factory=Counter)

    def ended(self, code: int, *, by_us: bool) -> None:
        """Count the end of a WebSocket."""
        self.closed[code if code in (_OURS if by_us else _OF_CLIENTS) else 0] += 1


class Reporter(Protocol):
    """Knows what became of the webhooks."""

    def report(self) -> list[dict[str, str | int | float]]:
        """One row per endpoint."""


class Ready(Protocol):
    """Says whether the node takes new clients."""

    @property
    def ready(self) -> bool:
        """False before the start, from the drain on, and while the engine is away."""

    @property
    def unready(self) -> str:
        """Why it is not ready."""


class Metrics(Collector):
    """The Prometheus view of one node.

    Args:
        engine: asked whether it is there, and what it could not understand.
    """

    def __init__(
        self,
        apps: Iterable[App],
        hub: Hub,
        counters: Counters,
        node: Ready,
        engine: Engine,
        webhooks: Reporter | None,
    ) -> None:
        self._engine = engine
        self._webhooks = webhooks
        self._apps = apps
        self._hub = hub
        self._counters = counters
        self._node = node
        self._registry = CollectorRegistry()
        self._registry.register(self)
        ProcessCollector(registry=self._registry)

    def text(self) -> bytes:
        """Everything in the Prometheus text format, `CONTENT_TYPE`."""
        return generate_latest(self._registry)

    def stats(self) -> dict[str, dict[str, int]]:
        """Usage per app id, for people and scripts that have no Prometheus."""
        found = {}
        for app in self._apps:
            usage = self._hub.metering[app.id]
            found[app.id] = {
                "connections": len(self._hub.sockets.get(app.id, ())),
                "peak_connections": usage.peak_connections,
                "api_messages": usage.api_messages,
                "client_messages": usage.client_messages,
                "deliveries": usage.deliveries,
                "messages_today": usage.messages_today,
                "messages_per_day": app.limits.messages_per_day,
            }
        return found

    def collect(self) -> Iterator[Metric]:
        """See `prometheus_client.registry.Collector.collect`."""
        yield from self._gauges()
        yield from self._totals()
        if self._webhooks is not None:
            yield from self._of_webhooks(self._webhooks.report())

    def _of_webhooks(self, rows: list[dict[str, str | int | float]]) -> Iterator[Metric]:
        labels = ["app_id", "target"]
        events = CounterMetricFamily(
            "oyez_webhook_events", "Events by what became of them", labels=[*labels, "result"]
        )
        attempts = CounterMetricFamily(
            "oyez_webhook_failed_attempts", "Requests that were not taken", labels=labels
        )
        pending = GaugeMetricFamily(
            "oyez_webhook_pending", "Events that are not delivered yet", labels=labels
        )
        oldest = GaugeMetricFamily(
            "oyez_webhook_oldest_pending_seconds", "Age of the oldest of them", labels=labels
        )
        for row in rows:
            names = [str(row["app_id"]), str(row["target"])]
            for result in ("delivered", "died", "dropped"):
                events.add_metric([*names, result], float(row[result]))
            attempts.add_metric(names, float(row["failed_attempts"]))
            pending.add_metric(names, float(row["pending"]))
            oldest.add_metric(names, float(row["oldest_pending_seconds"]))
        yield from (events, attempts, pending, oldest)

    def _gauges(self) -> Iterator[Metric]:
        info = GaugeMetricFamily("oyez_info", "Version of this node", labels=["version"])
        info.add_metric([__version__], 1)
        yield info
        yield GaugeMetricFamily(
            "oyez_ready", "Whether this node takes new clients", int(self._node.ready)
        )
        yield GaugeMetricFamily(
            "oyez_engine_away", "Whether store or broker do not answer", int(self._engine.away)
        )
        connections = GaugeMetricFamily(
            "oyez_connections", "Open WebSocket connections on this node", labels=["app_id"]
        )
        channels = GaugeMetricFamily(
            "oyez_channels", "Channels with a subscriber on this node", labels=["app_id"]
        )
        subscriptions = GaugeMetricFamily(
            "oyez_subscriptions", "Subscriptions on this node", labels=["app_id"]
        )
        occupied: Counter[str] = Counter()
        subscribed: Counter[str] = Counter()
        for (app_id, name), channel in self._hub.channels.items():
            if is_internal(name):
                continue
            occupied[app_id] += 1
            subscribed[app_id] += len(channel.subscribers) + len(channel.held)
        peak = GaugeMetricFamily(
            "oyez_peak_connections", "Most connections at once since the start", labels=["app_id"]
        )
        for app in self._apps:
            connections.add_metric([app.id], len(self._hub.sockets.get(app.id, ())))
            peak.add_metric([app.id], self._hub.metering[app.id].peak_connections)
            channels.add_metric([app.id], occupied[app.id])
            subscriptions.add_metric([app.id], subscribed[app.id])
        yield from (connections, channels, subscriptions, peak)

    def _totals(self) -> Iterator[Metric]:
        counters = self._counters
        requests = CounterMetricFamily(
            "oyez_http_requests", "Answered HTTP requests", labels=["status"]
        )
        for status, count in sorted(counters.requests.items()):
            requests.add_metric([str(status)], count)
        yield requests
        closed = CounterMetricFamily(
            "oyez_connections_closed", "Ended WebSocket connections", labels=["code"]
        )
        for code, count in sorted(counters.closed.items()):
            closed.add_metric([str(code) if code else "other"], count)
        yield closed
        reached = CounterMetricFamily(
            "oyez_limits_reached", "What was one too many or too much", labels=["rule"]
        )
        for rule, count in sorted(counters.reached.items()):
            reached.add_metric([rule], count)
        yield reached
        for name, text, value in (
            ("oyez_connections_opened", "Accepted WebSocket connections", counters.opened),
            ("oyez_client_refusals", "Requests of clients that were refused", counters.refusals),
            (
                "oyez_engine_refused_messages",
                "Messages of other nodes that were not understood",
                self._engine.refused,
            ),
        ):
            yield CounterMetricFamily(name, text, value)
        for name, text, attribute in (
            ("oyez_api_messages", "Events accepted from the HTTP API", "api_messages"),
            ("oyez_client_messages", "Events accepted from clients", "client_messages"),
            ("oyez_deliveries", "Events written to subscribers", "deliveries"),
        ):
            family = CounterMetricFamily(name, text, labels=["app_id"])
            for app in self._apps:
                family.add_metric([app.id], getattr(self._hub.metering[app.id], attribute))
            yield family
