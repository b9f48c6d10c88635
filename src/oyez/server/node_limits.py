"""Settings of what one node spends on its connections."""

from typing import Annotated

from pydantic import Field

from oyez.server.app_settings import StrictModel

__all__ = ["NodeLimitSettings"]

Bytes = Annotated[int, Field(ge=1)]
Count = Annotated[int, Field(ge=0)]
Seconds = Annotated[int, Field(ge=1)]


class NodeLimitSettings(StrictModel):
    """What one node spends on its connections, whichever app they belong to."""

    connections: Count | None = Field(
        default=None,
        description=(
            "WebSockets and sessions over HTTP of this node, 0 for no limit; beyond it: 4100. "
            "Default: what open files and memory allow."
        ),
    )
    http_connections: Annotated[int, Field(ge=1)] | None = Field(
        default=None,
        description=(
            "Connections that are no WebSockets, TLS handshakes included; beyond it one that has "
            "long been silent is dropped. Default: a quarter of what open files and memory allow."
        ),
    )
    connections_per_address: Count | None = Field(
        default=None,
        description=(
            "Connections of any kind from one address (IPv6: from one /64), 0 for no limit; beyond "
            "it: dropped, or 4100 with `trust_proxy`, where addresses are those of the "
            "`X-Forwarded-For`. Default: half of all, at least 20,000; none in private networks."
        ),
    )
    reserved_files: Count | None = Field(
        default=None,
        description=(
            "Open files that clients never get, for operators, webhooks, store and broker. "
            "Default: a quarter of all, at most 256."
        ),
    )
    unanswered_bytes: Bytes | None = Field(
        default=None,
        description=(
            "Bytes of requests that are not answered yet, of all connections together; beyond it "
            "the oldest is refused with 503, of those that no backend has signed if there are any. "
            "Default: a sixteenth of the memory, 16 MiB to 256 MiB, and 4 of the largest bodies."
        ),
    )
    send_buffer: Bytes = Field(
        default=1_048_576, description="Bytes waiting to be sent to one client; beyond it: 4100."
    )
    head_bytes: Bytes = Field(
        default=16_384, description="A request line and its headers; beyond it: 431."
    )
    head_seconds: Seconds = Field(default=10, description="To send a request head; beyond it: 408.")
    body_seconds: Seconds = Field(default=30, description="To send a request body; beyond it: 408.")
    idle_seconds: Seconds = Field(
        default=75, description="Between two requests of a connection; then it is closed."
    )
