"""What is said: names, messages, signatures, limits, errors, the conversation with one client.

Everything here is pure: values in, values out. No module of this package opens a socket, sleeps,
waits, reads the clock or the environment; time is an argument. The one third-party package allowed
is msgspec.
"""
