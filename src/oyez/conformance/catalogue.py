"""Every check there is, in the order of a report."""

from oyez.conformance import (
    cache,
    client_events,
    counts,
    encrypted,
    fallbacks,
    handshake,
    http_bad_publish,
    http_batch,
    http_conventions,
    http_publish,
    http_queries,
    http_refusals,
    http_signing,
    liveness,
    presence,
    robustness,
    settings,
    subscription_refusals,
    subscriptions,
    users,
    watchlist,
)
from oyez.conformance.check import Check

__all__ = ["ALL"]

_SUBJECTS = (
    http_signing,
    http_refusals,
    http_publish,
    http_bad_publish,
    http_batch,
    http_queries,
    http_conventions,
    handshake,
    liveness,
    subscriptions,
    subscription_refusals,
    presence,
    client_events,
    encrypted,
    cache,
    counts,
    users,
    watchlist,
    fallbacks,
    robustness,
    settings,
)

ALL: tuple[Check, ...] = tuple(check for subject in _SUBJECTS for check in subject.CHECKS)
