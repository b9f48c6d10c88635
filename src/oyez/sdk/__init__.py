"""The other end of the protocol: what a backend calls, and a subscriber.

`calls` says what to send, `client` sends it; `authorizer` and `webhooks` answer and read what comes
to the application.
"""
