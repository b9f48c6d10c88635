"""An app: its tokens, its settings and its limits, as plain values.

The names of the limits are those of the table in spec ``README.md`` section 4, in snake case.
"""

from dataclasses import dataclass, field

from oyez.protocol.signing import Token

__all__ = ["App", "Limits"]


@dataclass(frozen=True, slots=True)
class Limits:
    """What one app may use. Sizes are bytes of UTF-8, lengths characters, times seconds.

    Attributes:
        event_data: data of one event published through the HTTP API; beyond it: 413.
        client_event_data: data of one client event; beyond it: refused.
        http_request_body: a whole request body; beyond it: 413.
        inbound_websocket_message: one message of a client; beyond it: closed with 1009.
        channels_per_publish: channels of one publish; beyond it: 400.
        events_per_batch: events of one batch; beyond it: 400.
        channel_name: length of a channel name, at most 200; beyond it: 400, or refused.
        event_name: length of an event name; beyond it: 400, or refused.
        user_id: length of a user id; beyond it: refused.
        presence_members: distinct users of a presence channel; beyond it: refused.
        presence_user_object: ``user_info`` as compact JSON; beyond it: refused.
        watchlist: users one connection follows; the rest is ignored, with 4302.
        client_events: client events of one connection in any second; beyond it: 4301.
        cache_entry_lifetime: how long the last event of a cache channel is kept.
        subscription_count_unthrottled: subscriptions up to which a change is told at once, ten in
            any second; what comes beyond that is told once a second.
        subscription_count_throttle: above that, at most one count event in this time.
        authorized_connections_timeout: to sign in or join a private or presence channel, where the
            app asks for it; beyond it: 4009.
        inactivity_timeout: silence that ends a connection which cannot be pinged (protocol 4 over
            an HTTP fallback): 4202.
        webhook_delay: how long a channel or member must be gone before it is told, at most 60.
        messages_per_day: API messages, client messages and deliveries from midnight UTC, 0 for no
            limit; beyond it: 403, and 4004 for new connections.
        signature_age: how far ``auth_timestamp`` may be off; from there on: 401.
        activity_timeout: silence after which either side asks whether the other is there.
        pong_wait: silence after that question which ends the connection: 4201.
        connections_per_app: connections on this node, 0 for no limit; beyond it: 4004.
        subscriptions_per_connection: channels of one connection, each of which takes up to 1 KB
            of memory, 0 for no limit; beyond it:
            refused.
        messages_per_second: frames of one connection, or messages over an HTTP fallback, that
            are read per second, 0 for no limit; the rest is read later.
    """

    event_data: int = 10_240
    client_event_data: int = 10_240
    http_request_body: int = 1_048_576
    inbound_websocket_message: int = 131_072
    channels_per_publish: int = 100
    events_per_batch: int = 10
    channel_name: int = 164
    event_name: int = 200
    user_id: int = 128
    presence_members: int = 100
    presence_user_object: int = 1_024
    watchlist: int = 100
    client_events: int = 10
    cache_entry_lifetime: int = 1_800
    subscription_count_unthrottled: int = 100
    subscription_count_throttle: int = 5
    authorized_connections_timeout: int = 30
    inactivity_timeout: int = 86_400
    webhook_delay: int = 3
    messages_per_day: int = 0
    signature_age: int = 600
    activity_timeout: int = 120
    pong_wait: int = 30
    connections_per_app: int = 0
    subscriptions_per_connection: int = 2_000
    messages_per_second: int = 1_000


@dataclass(frozen=True, slots=True)
class App:
    """One tenant.

    Attributes:
        id: decimal digits, as the official Python library accepts nothing else.
        tokens: the active key and secret pairs, oldest first; any of them verifies.
        client_events: whether clients may send ``client-`` events at all.
        subscription_count: whether subscriptions are counted for the API and told to subscribers;
            off unless asked for, as on the hosted service.
        user_authentication: whether clients may sign in.
        watchlist_events: whether signed-in clients hear who of their watchlist is online.
        authorized_connections: whether a connection that is nobody's is closed after a while.
        force_tls: whether plain connections and requests are refused.
        allowed_origins: origins (``https://a.example``) or host patterns (``*.a.example``) that
            browsers may connect from; empty for all. Clients that send no origin are no browsers.
        subscription_errors: whether a refused subscription also gets
            `pusher:subscription_error`, an extension that Laravel Echo listens to.
        lenient: whether a connection without ``protocol`` counts as version 7 (A-29).
    """

    id: str
    tokens: tuple[Token, ...]
    name: str = ""
    enabled: bool = True
    client_events: bool = False
    subscription_count: bool = False
    user_authentication: bool = True
    watchlist_events: bool = True
    authorized_connections: bool = False
    force_tls: bool = False
    allowed_origins: tuple[str, ...] = ()
    subscription_errors: bool = True
    lenient: bool = False
    limits: Limits = field(default_factory=Limits)

    def token(self, key: str) -> Token | None:
        """The active token with this key, if the app has it."""
        for token in self.tokens:
            if token.key == key:
                return token
        return None
