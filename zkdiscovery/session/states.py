"""The states of a session, and the transitions between them."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple


class State(StrEnum):
    """The state of the session with ZooKeeper."""

    NEW = "NEW"
    """Never connected yet."""
    CONNECTED = "CONNECTED"
    """ZooKeeper answers."""
    SUSPENDED = "SUSPENDED"
    """No connection; the session may live on at the server."""
    EXPIRED = "EXPIRED"
    """The server ended the session; a new one follows by itself."""
    CLOSED = "CLOSED"
    """Closed by close(); final."""


TRANSITIONS: dict[State, frozenset[State]] = {
    State.NEW: frozenset({State.CONNECTED, State.CLOSED}),
    State.CONNECTED: frozenset({State.SUSPENDED, State.EXPIRED, State.CLOSED}),
    State.SUSPENDED: frozenset({State.CONNECTED, State.EXPIRED, State.CLOSED}),
    State.EXPIRED: frozenset({State.CONNECTED, State.CLOSED}),
    State.CLOSED: frozenset(),
}


class StateChange(NamedTuple):
    """A transition of the session.

    Attributes:
        state: the new state.
        before: the state before.
        epoch: number of ZooKeeper sessions so far. In a new session all ephemerals of the old one are gone.
        generation: number of connections so far. On a new connection all watches of the old one are gone.
    """

    state: State
    before: State
    epoch: int
    generation: int
