"""One connection to one server at a time: the choice of a server, sending and reading. Only this package imports kazoo.

kazoo does the handshake, pings and framing. No object of kazoo leaves this package.
"""
