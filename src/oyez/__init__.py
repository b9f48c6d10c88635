"""Oyez: a self-hosted realtime server that speaks the Pusher Channels protocol.

The package has three parts and one allowed direction of import, ``server -> protocol <- sdk``;
``ARCHITECTURE.md`` draws the map.
"""

__all__ = ["__version__"]

__version__ = "0.1.0"
