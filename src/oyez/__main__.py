"""``python -m oyez`` and the ``oyez`` command."""

import sys

__all__ = ["main"]

_EXTRAS = {"nacl": "encryption", "aiofastnet": "fast", "redis": "redis", "nats": "nats"}


def main() -> None:
    """Run the command line, or say what to install for it."""
    try:
        from oyez.cli import app

        app()
    except ModuleNotFoundError as error:
        library = (error.name or "oyez").partition(".")[0]
        if library == "oyez":
            raise
        extra = _EXTRAS.get(library, "server")
        sys.exit(f"oyez: {library} is not installed; run: pip install 'oyez[{extra}]'")


if __name__ == "__main__":
    main()
