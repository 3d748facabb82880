"""What the bridges of a source say of themselves below `/bridges`.

    /bridges/<source>            what the source is; persistent for a cluster, else a container
    /bridges/<source>/<uuid>     a bridge that runs: an ephemeral
    /bridges/<source>/away       the source can't be reached, and since when; persistent for a cluster,
                                 else an ephemeral

Views that hold instances of a source follow its children.

Threads: the bridge's.
"""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from zkdiscovery.bridges.source import Source
from zkdiscovery.core import Core
from zkdiscovery.errors import NodeExists, NodeMissing
from zkdiscovery.lifecycle import default_id
from zkdiscovery.session import CONTAINER, Create, Delete, GetData, Node, SetData, State, Write
from zkdiscovery.znodes import AWAY, BaseHold, OwnedNode, OwnedState, execute_writes, make_container, parent_of

MOST_PROBLEMS = 20  # that a bridge tells of; all are in its log
LONGEST_TEXT = 300  # characters


class Presence:
    """The nodes of one bridge of one source.

    Args:
        core: of the client.
        name: of the source.
        source: the source.
        identity: of the source.
    """

    def __init__(self, core: Core, name: str, source: Source, identity: str) -> None:
        self._core = core
        self._session = core.session
        self._clustered = source.clustered
        self._path = core.paths.bridge(name)
        self._data = _encode({"kind": source.kind, "identity": identity, "clustered": source.clustered})
        self._own = {"id": default_id(), "where": source.where, "since": round(time.time(), 3)}
        self._problems: dict[str, str] = {}
        self._epoch = 0  # of the session in which the source was announced
        self._node: OwnedNode | None = None
        self._away: OwnedNode | None = None  # of an engine
        self._said: tuple[int, bool] = (0, False)  # by the term of this fence: whether the source is away

    def announce(self) -> None:
        """Make the node of the source, once in each session, and from the first time on that of this bridge.

        Raises:
            NotConnected, OperationTimeout, AccessDenied: not done.
        """
        session = self._session
        epoch, generation = session.epoch, session.generation
        if self._epoch == epoch:
            return
        deadline = time.monotonic() + session.settings.operation_timeout
        kind = 0 if self._clustered else CONTAINER
        while True:
            try:
                create = Create(self._path, self._data, session.parent_acl, kind)
                session.call(create, deadline=deadline, generation=generation)
            except NodeMissing:
                make_container(session, parent_of(self._path), generation=generation, deadline=deadline)
                continue
            except NodeExists:
                with suppress(NodeMissing):  # reaped in this moment
                    found: Node = session.call(GetData(self._path), deadline=deadline, generation=generation)
                    if found.data != self._data:
                        session.call(SetData(self._path, self._data), deadline=deadline, generation=generation)
                    break
                continue
            break
        self._epoch = epoch
        if self._node is None:
            path = f"{self._path}/{uuid.uuid4().hex}"
            self._node = self._core.nodes.own(path, self._encode_own(), on_state=_ignore)

    def tell_problems(self, problems: Mapping[str, str]) -> None:
        """Show what can't be imported."""
        shown = {_short(name): _short(problems[name]) for name in sorted(problems)[:MOST_PROBLEMS]}
        if shown != self._problems:
            self._problems = shown
            if self._node is not None:
                self._node.write(self._encode_own())

    def tell_away(self, since: float, why: str, term: BaseHold | None) -> None:
        """Say that the source can't be reached. One that said so before, and when, is not contradicted.

        Args:
            since: seconds since the epoch.
            why: in words.
            term: the leadership; None: a bridge of one engine.

        Raises:
            HoldLost: the leadership is over.
            ZkDiscoveryError: not done.
        """
        data = _encode({"since": round(since, 3), "why": _short(why)})
        if term is None:
            if self._away is None:
                self._away = self._core.nodes.own(f"{self._path}/{AWAY}", data, on_state=_ignore)
            return
        if self._said != (term.fence, True):
            with suppress(NodeExists):
                self._write(Create(f"{self._path}/{AWAY}", data, self._session.leaf_acl), term)
            self._said = term.fence, True

    def tell_back(self, term: BaseHold | None) -> None:
        """Say that the source can be reached. Raises as `tell_away`."""
        if term is None:
            if self._away is not None:
                self._away.release()
                self._away = None
            return
        if self._said != (term.fence, False):
            with suppress(NodeMissing):
                self._write(Delete(f"{self._path}/{AWAY}"), term)
            self._said = term.fence, False

    def _write(self, write: Write, term: BaseHold) -> None:
        session = self._session
        deadline = time.monotonic() + session.settings.operation_timeout
        execute_writes(session, [write], guard=term, generation=session.generation, deadline=deadline)

    def close(self, timeout: float) -> None:
        """Take this bridge's nodes out; in contact with ZooKeeper, wait up to `timeout` seconds until they are gone."""
        nodes = [node for node in (self._node, self._away) if node is not None]
        for node in nodes:
            node.release()
        if self._session.state is State.CONNECTED:
            end = time.monotonic() + timeout
            for node in nodes:
                node.wait(lambda node: node.state is OwnedState.RELEASED, max(0.0, end - time.monotonic()))

    def _encode_own(self) -> bytes:
        return _encode({**self._own, "problems": self._problems})


def _short(text: str) -> str:
    return text if len(text) <= LONGEST_TEXT else f"{text[:LONGEST_TEXT]}…"


def _encode(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def _ignore(_node: OwnedNode) -> None:
    """Ignore the state of a node: the reconciler logs what it can't make."""
