"""Run a bridge in the foreground: what the commands of all kinds share."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING

from zkdiscovery.cli.context import Cli
from zkdiscovery.threads import start_thread

if TYPE_CHECKING:
    from zkdiscovery.bridges import Bridge, Source

_LOOK = 1.0  # seconds between two looks at the thread, because a wait without limit delays signals on some systems


def run_bridge(cli: Cli, source: Source) -> None:
    """Follow a source until Ctrl-C or SIGTERM. What happens is told on stderr.

    Raises:
        ZkDiscoveryError: the bridge can't go on.
    """
    from zkdiscovery.bridges import Bridge  # noqa: PLC0415 - loads all of the SDK

    with cli.client() as client:
        if not cli.debug:
            logging.getLogger("zkdiscovery").setLevel(logging.INFO)
        bridge = Bridge(client, source)
        failure: list[BaseException] = []
        ended = threading.Event()
        start_thread(lambda: _run(bridge, failure, ended), "zkdiscovery-bridge")
        try:
            cli.await_connection(client)
            while not ended.wait(_LOOK):
                pass
        finally:
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
