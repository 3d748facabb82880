"""The demo from beginning to end."""

from __future__ import annotations

import io
import os
import signal
import sys
from pathlib import Path

from zkdiscovery.demo.board import Board, PlainLines
from zkdiscovery.demo.run import open_run
from zkdiscovery.demo.steps import run_steps
from zkdiscovery.errors import NoServerForTests
from zkdiscovery.testing import zookeeper_server
from zkdiscovery.testing.servers import environment
from zkdiscovery.testing.servers.start import SourceName

FAILED, NO_SERVER, INTERRUPTED = 1, 3, 130  # exit statuses


def play(source: SourceName, svg: Path | None) -> int:
    """See `zkdiscovery.demo.main`."""
    _forget_settings()
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, signal.default_int_handler)  # all ways to end it early are one
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # not every terminal has a ✓
    board = _board()
    try:
        board.show("starting ZooKeeper …")
        with zookeeper_server(source=source, notify=board.show) as server:
            board.show(f"ZooKeeper: {server.source}")
            with open_run(server, board.show) as run:
                with board.live(run):
                    held = run_steps(run, lambda: board.announce(run), board.linger)
                if svg is not None:
                    from zkdiscovery.demo.liveboard import save_picture  # noqa: PLC0415 - needs rich

                    save_picture(run, svg)
        board.summary(run)
    except NoServerForTests as error:
        print(error, file=sys.stderr)  # noqa: T201
        return NO_SERVER
    except KeyboardInterrupt:
        print("interrupted: everything is stopped", file=sys.stderr)  # noqa: T201
        return INTERRUPTED
    return 0 if held else FAILED


def _board() -> Board:
    """The live board on a terminal that can show it."""
    if not sys.stdout.isatty() or os.environ.get("TERM", "dumb") in {"dumb", "unknown"}:
        return PlainLines()
    try:
        from zkdiscovery.demo.liveboard import LiveBoard  # noqa: PLC0415 - rich is in an extra
    except ImportError:
        lines = PlainLines()
        lines.show("for a live board: pip install 'zkdiscovery[cli]'")
        return lines
    return LiveBoard()


def _forget_settings() -> None:
    """The environment may hold the settings of a production ensemble: nothing here must use them."""
    for name in [name for name in os.environ if name.startswith("ZKDISCOVERY_") and name not in environment.VARIABLES]:
        del os.environ[name]
