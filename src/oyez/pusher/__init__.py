"""A drop-in for the PyPI package ``pusher`` 3.3.4: ``import oyez.pusher as pusher``.

Names, argument orders, defaults, answers and exceptions are those of that package, and so are the
names of these modules, because programs import them; behind them works `oyez.sdk`. What is
different, and why, is in ``docs/guide/pusher.md``. New programs should use `oyez.Client`.
"""

from oyez.pusher.async_pusher import AsyncPusher
from oyez.pusher.authentication_client import AuthenticationClient
from oyez.pusher.pusher import Pusher
from oyez.pusher.pusher_client import PusherClient

__all__ = ["AsyncPusher", "AuthenticationClient", "Pusher", "PusherClient"]
