"""Where a Redis is: from the address in the settings to a client of redis-py.

- ``redis://``, ``rediss://`` (TLS) and ``unix://``: one server, as redis-py reads them.
- ``redis+sentinel://host:port,host:port/service``: whoever the sentinels say is the master.
- ``redis+cluster://host:port,host:port``: a cluster; some of its nodes are enough.

The latter two have ``rediss+`` forms, too. User, password, database and every option after the
``?`` mean what redis-py says; ``sentinel_username`` and ``sentinel_password`` are for the
sentinels. Options that do not fit into an address are given beside it.
"""

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import unquote, urlsplit

from redis.asyncio import Redis, Sentinel
from redis.asyncio.cluster import ClusterNode, RedisCluster
from redis.asyncio.connection import parse_url
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

__all__ = ["Address"]

_PORTS: Final = {"sentinel": 26379, "cluster": 6379}


class Address:
    """An address that has been read.

    Args:
        url: see above.
        options: further keyword arguments for redis-py; they win over those in the address.
        limit: seconds that redis-py may wait for a connection or an answer.

    Raises:
        ValueError: the address cannot be understood.
    """

    def __init__(self, url: str, options: Mapping[str, Any], *, limit: float) -> None:
        scheme, _, rest = url.partition("://")
        plain, _, self.mode = scheme.partition("+")
        if self.mode not in ("", "sentinel", "cluster"):
            raise ValueError(f"unknown scheme {scheme}://")
        self.hosts: list[tuple[str, int]] = []
        self.service = ""
        self._sentinels: list[Redis] = []
        if self.mode:
            rest = self._take_hosts(rest)
        self.options: dict[str, Any] = {
            "socket_timeout": limit,
            "socket_connect_timeout": limit,
            "socket_keepalive": True,
            **parse_url(f"{plain}://{rest}"),
            **options,
            # What may have happened already must not be asked for again by itself.
            "retry": Retry(NoBackoff(), 0),
            "protocol": 2,
            "decode_responses": False,
        }
        self._connection_class = self.options.pop("connection_class", None)

    def _take_hosts(self, rest: str) -> str:
        """Keep the list of hosts and the service; the remainder is an address of one host."""
        parts = urlsplit(f"//{rest}")
        login, at, hosts = parts.netloc.rpartition("@")
        for host in hosts.split(","):
            found = urlsplit(f"//{host}")
            if not found.hostname:
                raise ValueError(f"no host in {hosts!r}")
            self.hosts.append((found.hostname, found.port or _PORTS[self.mode]))
        path = parts.path
        if self.mode == "sentinel":
            service, _, database = path.removeprefix("/").partition("/")
            if not service:
                raise ValueError(
                    "the address of sentinels ends in /SERVICE, the name of the master"
                )
            self.service, path = unquote(service), f"/{database}" if database else ""
        query = f"?{parts.query}" if parts.query else ""
        return f"{login}{at}localhost{path}{query}"

    async def close(self, client: Redis | RedisCluster) -> None:
        """Give back all connections of a client, those to sentinels included."""
        await client.aclose()
        for sentinel in self._sentinels:
            await sentinel.aclose()

    def client(self) -> Redis | RedisCluster:
        """A new client, not connected yet."""
        options = dict(self.options)
        tls = self._connection_class is not None and "path" not in options
        if self.mode == "cluster":
            options.pop("host", None)
            if tls:
                options["ssl"] = True
            nodes = [ClusterNode(host, port) for host, port in self.hosts]
            return RedisCluster(startup_nodes=nodes, **options)
        if self.mode == "sentinel":
            options.pop("host", None)
            if tls:
                options["ssl"] = True
            asked = {
                name: options.pop(f"sentinel_{name}")
                for name in ("username", "password")
                if f"sentinel_{name}" in options
            }
            asked.update({k: v for k, v in options.items() if k.startswith(("socket_", "ssl"))})
            asked["retry"] = options["retry"]
            sentinel = Sentinel(self.hosts, sentinel_kwargs=asked)  # type: ignore[no-untyped-call]
            self._sentinels += sentinel.sentinels
            master: Redis = sentinel.master_for(self.service, **options)
            return master
        if "path" in options:
            path = options.pop("path")
            options.pop("socket_keepalive")
            return Redis(unix_socket_path=path, **options)
        if tls:
            options["ssl"] = True
        return Redis(**options)
