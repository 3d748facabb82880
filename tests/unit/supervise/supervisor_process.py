"""A supervisor: `supervisor_process.py DEADLINE GRACE COMMAND...`; DEADLINE in seconds from now, or `inf`."""

from __future__ import annotations

import os
import signal
import sys

from zkdiscovery.supervise import Child, Signals, Terminal, lease_now, reap_orphans, supervise


def main() -> int:
    deadline, grace, *argv = sys.argv[1:]
    signal.signal(signal.SIGCHLD, lambda *_: reap_orphans())
    with Signals() as signals:
        terminal = Terminal.find()
        with Child(
            argv,
            env=os.environ,
            deadline=lease_now() + float(deadline),
            grace=float(grace),
            terminal=terminal,
        ) as child:
            return supervise(child, signals, terminal=terminal).code


sys.exit(main())
