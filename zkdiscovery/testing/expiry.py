"""Real session expiry: the server itself ends the session, and its ephemeral nodes are gone.

How: continue the session from a second connection, by its id and password, and close it there. The server drops the
client's own connection; when the client reconnects, it learns that its session has expired.
"""

from __future__ import annotations

import time
from typing import overload

from zkdiscovery.client import Client
from zkdiscovery.errors import NodeError, NotConnected, SessionExpired
from zkdiscovery.testing.wire import RawSession
from zkdiscovery.validation import check_timeout

ATTEMPT = 1.0  # seconds for one connection, because a server may leave one unanswered that the client has replaced


@overload
def expire_session(client: Client, /, *, timeout: float | None = 5.0) -> None: ...
@overload
def expire_session(session_id: int, password: bytes, hosts: str, /, timeout: float | None = 5.0) -> None: ...


def expire_session(
    client: Client | int, password: bytes = b"", hosts: str = "", /, timeout: float | None = 5.0
) -> None:
    """End the session of a `zkdiscovery.Client` (or one given by id and password) on the server.

    When this returns, the session's ephemeral nodes are gone; the client notices some milliseconds later. It speaks no
    TLS and gives no credentials: where the client does, name the plain port of a server that takes anybody.

    Args:
        client: the client, or the session's id.
        password: the session's password, 16 bytes.
        hosts: `host:port`, or several with commas, tried in this order.
        timeout: seconds for all of it.

    Raises:
        SessionExpired: there is no such session (any more), or the password is wrong.
        NotConnected: no server ended it in time.
    """
    if isinstance(client, int):
        session_id = client
    else:
        own = client.slot.current().session
        session_id, hosts = own.session_id, own.server
        password = own.credentials.password if own.credentials else b""
    timeout = check_timeout(timeout)
    deadline = time.monotonic() + timeout
    problem: Exception = TimeoutError("no server was tried")
    known, interrupted = not isinstance(client, int), False
    # The first time in one breath, or else the client may take its session back in between. A server that does not know
    # the session may reset such a connection instead of saying so: then step by step.
    ending = again = True
    while again:
        again = False
        for host in hosts.split(","):
            remaining = deadline - time.monotonic()
            if remaining <= 0:
                break
            try:
                attempt = min(remaining, ATTEMPT)
                session = RawSession(host, session_id=session_id, password=password, timeout=attempt, ending=ending)
            except SessionExpired:
                if interrupted:
                    return None
                raise
            except (BrokenPipeError, ConnectionResetError, TimeoutError) as error:  # also where the client was faster
                problem, again = error, True
                # The session may have ended. A server that does not know it resets the connection as well, so a reset
                # tells that only of a session that was there.
                interrupted |= ending and (known or isinstance(error, TimeoutError))
                continue
            except OSError as error:
                problem = error
                continue
            try:
                return session.close()
            except (OSError, NodeError) as error:
                # The client took its session back in between (on another server: a NodeError), or the end of the
                # session cut the answer off.
                problem, interrupted, again = error, True, True
        ending = False
    raise NotConnected(
        f"the session 0x{session_id:x} could not be ended on {hosts} within {timeout:g} s, without TLS and credentials:"
        f" {problem}",
        server=hosts,
        outcome_unknown=interrupted,
    )
