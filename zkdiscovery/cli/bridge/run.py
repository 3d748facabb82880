"""Run bridges in the foreground: what the commands of all kinds share."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable
from functools import partial
from typing import TYPE_CHECKING

from zkdiscovery.cli.context import Cli
from zkdiscovery.threads import start_thread

if TYPE_CHECKING:
    from zkdiscovery import Client
    from zkdiscovery.bridges import Bridge, Source

_LOOK = 1.0  # seconds between two looks at the threads, because a wait without limit delays signals on some systems


def run_bridge(cli: Cli, source: Source) -> None:
    """Follow a source until Ctrl-C or SIGTERM. What happens is told on stderr.

    Raises:
        ZkDiscoveryError: the bridge can't go on.
    """
    run_bridges(cli, lambda _client: [source])


def run_bridges(cli: Cli, find: Callable[[Client], Iterable[Source]]) -> None:
    """Follow the sources that `find` returns, with one client, until Ctrl-C or SIGTERM.

    Raises:
        ZkDiscoveryError: one of the bridges can't go on.
    """
    from zkdiscovery.bridges import Bridge  # noqa: PLC0415 - loads all of the SDK

    with cli.client() as client:
        if not cli.debug:
            logging.getLogger("zkdiscovery").setLevel(logging.INFO)
        bridges = [Bridge(client, source) for source in find(client)]
        failure: list[BaseException] = []
        ended = threading.Event()
        try:
            for bridge in bridges:
                start_thread(partial(_run, bridge, failure, ended), "zkdiscovery-bridge")
            cli.await_connection(client)
            while not ended.wait(_LOOK):
                pass
        finally:
            for bridge in bridges:
                bridge.close()
        for error in failure:
            raise error


def _run(bridge: Bridge, failure: list[BaseException], ended: threading.Event) -> None:
    try:
        bridge.run()
    except BaseException as error:  # noqa: BLE001 - the main thread raises it
        failure.append(error)
    finally:
        ended.set()
