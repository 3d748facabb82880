"""Many processes in many states, ended at the same time; forked, because to load the SDK takes each a second of CPU.

    python ending_processes.py {"<name>": ["<hosts>", "<namespace>", "<script>", "<how it ends>"], ...}

Each runs its script with `client` and `other`, and says on a line that it is ready. On the next line of standard input
all end: by SIGTERM, or where `how it ends` is "exit" without a signal. Where it is "interrupt", the script's `work`
calls `until_go`, which KeyboardInterrupt ends, as Ctrl-C does without `close_on_signals`. Prints a line of JSON for
each: name, seconds, return code.
"""

from __future__ import annotations

import asyncio  # noqa: F401 - for scripts, loaded once
import contextlib
import json
import os
import signal
import sys
import threading
import time

from zkdiscovery import AsyncClient, Client, close_on_signals  # noqa: F401 - for scripts

BY_ITSELF = ("exit", "interrupt")


def sleep(*_: object) -> None:
    time.sleep(3600.0)


def run(name: str, hosts: str, namespace: str, script: str, how: str, go: int) -> None:
    client, other = (Client(hosts, namespace=namespace) for _ in range(2))

    def ready() -> None:
        os.write(1, f"ready {name}\n".encode())
        os.read(go, 1)

    def until_go() -> None:
        ready()
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

    found = {**globals(), "client": client, "other": other, "until_go": until_go}
    exec(script, found)
    if how == "interrupt":
        with contextlib.suppress(KeyboardInterrupt):
            found["work"]()
    else:
        close_on_signals(client, other)
        ready()


def main() -> None:
    processes: dict[int, tuple[str, str]] = {}
    go, tell = os.pipe()
    for name, (hosts, namespace, script, how) in json.loads(sys.argv[1]).items():
        pid = os.fork()
        if pid == 0:
            os.close(tell)
            run(name, hosts, namespace, script, how, go)
            if how in BY_ITSELF:
                return
            threading.Event().wait()
        processes[pid] = name, how
    sys.stdin.readline()
    begun = time.monotonic()
    os.close(tell)
    for pid, (_, how) in processes.items():
        if how not in BY_ITSELF:
            os.kill(pid, signal.SIGTERM)
    for _ in range(len(processes)):
        pid, status = os.wait()
        print(json.dumps([processes[pid][0], time.monotonic() - begun, os.waitstatus_to_exitcode(status)]), flush=True)


if __name__ == "__main__":
    main()
