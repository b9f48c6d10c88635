"""The backend of PyPI ``pusher`` for asyncio: ``backend=AsyncIOBackend``.

It sends with the SDK's own transport; ``aiohttp`` is not needed, only the name is kept.
"""

from oyez.pusher.sending import AsyncHttpBackend

__all__ = ["AsyncIOBackend"]


class AsyncIOBackend(AsyncHttpBackend):
    """Makes ``trigger`` and its like give something to await."""
