"""What `zkdiscovery lock` runs below an attack: deaf to signals, it writes a line every few milliseconds.

    program.py FILE

Each line is `FENCE TIME WHO`, TIME in nanoseconds since the boot. A child in a session of its own writes as well. Lines
are shorter than a block and written by one call to a file that is open for appending, so they stay whole.
"""

from __future__ import annotations

import os
import signal
import sys
import time

INTERVAL = 0.005  # seconds


def main(path: str) -> None:
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    fence = os.environ["ZKDISCOVERY_FENCE"]
    file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    who = "command"
    if os.fork() == 0:
        os.setsid()
        who = "descendant"
    while True:
        now = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
        os.write(file, f"{fence} {now} {who}\n".encode())
        time.sleep(INTERVAL)


main(sys.argv[1])
