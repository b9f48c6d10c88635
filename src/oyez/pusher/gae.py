"""The backend of PyPI ``pusher`` for Google App Engine: ``backend=GAEBackend``.

App Engine lets programs open connections by now, so nothing of Google's is needed; only the name
and the option that matters are kept.
"""

from typing import TYPE_CHECKING, Any

from oyez.pusher.sending import HttpBackend

if TYPE_CHECKING:
    from oyez.pusher.client import Client

__all__ = ["GAEBackend"]


class GAEBackend(HttpBackend):
    """The default backend under its old name.

    Args:
        client: whose requests they are.
        validate_certificate: whether to verify certificates.
        options: those of `HttpBackend`.
    """

    def __init__(
        self, client: "Client", *, validate_certificate: bool | None = None, **options: Any
    ) -> None:
        if validate_certificate is not None:
            options["verify"] = validate_certificate
        super().__init__(client, **options)
