"""``python -m oyez`` and the ``oyez`` command."""

import sys

__all__ = ["main"]


def main() -> None:
    """Run the command line, or say what to install for it."""
    try:
        from oyez.cli import app
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] == "oyez":
            raise
        sys.exit(f"oyez: {error.name} is not installed; run: pip install 'oyez[server]'")
    app()


if __name__ == "__main__":
    main()
