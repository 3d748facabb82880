"""States of a session, and which may follow which."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple


class State(StrEnum):
    """Where the session with ZooKeeper stands."""

    NEW = "NEW"
    """Never connected yet."""
    CONNECTED = "CONNECTED"
    """ZooKeeper answers."""
    SUSPENDED = "SUSPENDED"
    """No connection; the session may live on at the server."""
    EXPIRED = "EXPIRED"
    """The server ended the session; a new one follows by itself."""
    CLOSED = "CLOSED"
    """By close(); final."""


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
        epoch: number of ZooKeeper sessions so far; a new one means that all ephemerals of the old are gone.
        generation: number of connections so far; a new one means that all watches of the old are gone.
    """

    state: State
    before: State
    epoch: int
    generation: int
