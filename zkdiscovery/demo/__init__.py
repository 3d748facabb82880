"""The demo: real processes register, are discovered, called and led, on a real ZooKeeper, and what happens is measured.

Nodes: `node-1`, `node-2`, … are processes that serve the service `payments` over HTTP and campaign in the election
`settlement`. This process is their client: it calls them through the balancer, and watches.

Guarantees: it ends by itself within 60 s of ZooKeeper's start; every process that it starts ends with it, however it
ends; it leaves no file behind, and no znode on servers that it did not start.
"""

from __future__ import annotations

from pathlib import Path

from zkdiscovery.testing.servers.start import SourceName

__all__ = ["main"]


def main(source: SourceName = "auto", svg: Path | None = None) -> int:
    """Run the demo on standard output: a live board on a terminal, plain lines elsewhere. Main thread only.

    Args:
        source: where ZooKeeper comes from; see `zkdiscovery.testing.zookeeper_server`.
        svg: file to write a picture of the board and the summary to.

    Returns:
        The process's exit status: 0 if all that was measured was as expected, 1 if not, 3 if no ZooKeeper could be
        had, 130 if interrupted.
    """
    from zkdiscovery.demo.program import play  # noqa: PLC0415 - the nodes import this package, and need none of it

    return play(source, svg)
