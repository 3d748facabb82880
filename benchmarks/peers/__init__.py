"""The peers, each used in the usual way, and what a bare socket does; a file for each.

A peer that is not there is left out, with a notice on stderr.
"""

from __future__ import annotations

from collections.abc import Container, Iterable

from benchmarks.figures import Target

PEERS = ("kazoo", "tooz", "Curator")


def peer_of(way: str | None) -> str | None:
    """The peer that works in this way, such as kazoo in `kazoo, pipelined`."""
    name = (way or "").partition(",")[0]
    return name if name in PEERS else None


def ahead(ways: Iterable[str], besides: Container[str] = ()) -> list[Target]:
    """Ours must take no more than any peer among the ways; what is no peer, such as a floor, is no target.

    Args:
        ways: as in a row's figures.
        besides: peers that have targets of their own.
    """
    return [Target(1, way) for way in ways if peer_of(way) and way not in besides]
