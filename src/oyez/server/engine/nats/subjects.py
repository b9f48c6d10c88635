"""The names under which a deployment speaks: subjects, and the stream that keeps what must stay.

App ids and names of channels may have characters that subjects cannot, so they are in base64url.
"""

from base64 import urlsafe_b64encode
from typing import Final

__all__ = ["Subjects"]

_ESCAPES: Final = {"_": "__", ".": "_d", ":": "_c"}  # what a stream's name cannot have


class Subjects:
    """The names of one deployment.

    Args:
        prefix: what all subjects begin with.

    Attributes:
        term: where a keeper announces itself.
        reign: where it is kept who the keeper is.
        used: where it is kept what apps have used.
        kept: everything that is kept.
        stream: in which it is kept.

    Raises:
        ValueError: nothing can be published below this prefix.
    """

    def __init__(self, prefix: str) -> None:
        if not all(prefix.split(".")):
            raise ValueError(f"prefix {prefix!r} has a dot at an end, or two in a row")
        self._prefix = prefix
        self.term = f"{prefix}.term"
        self.reign = f"{prefix}.kept.reign"
        self.used = f"{prefix}.kept.used"
        self.kept = f"{prefix}.kept.>"
        self.stream = "".join(_ESCAPES.get(each, each) for each in prefix)

    def event(self, app_id: str, channel: str) -> str:
        """Where the events of a channel are published."""
        return f"{self._prefix}.event.{_token(app_id)}.{_token(channel)}"

    def keeper(self, term: int) -> str:
        """Where the keeper of a term is asked."""
        return f"{self._prefix}.keeper.{term}"

    def log(self, term: int) -> str:
        """Where the keeper of a term tells its deputies what it has done."""
        return f"{self._prefix}.log.{term}"

    def cache(self, app_id: str, channel: str) -> str:
        """Where the last event of a cache channel is kept."""
        return f"{self._prefix}.kept.cache.{_token(app_id)}.{_token(channel)}"


def _token(name: str) -> str:
    return urlsafe_b64encode(name.encode()).rstrip(b"=").decode()
