"""Many processes in many states, ended at the same time; forked, because to load the SDK takes each a second of CPU.

    python ending_processes.py {"<name>": ["<hosts>", "<namespace>", "<script>", "<how it ends>"], ...}

Each runs its script with `client` and `other`, and says on a line that it is ready. On the next line of standard input
all end: by SIGTERM, or where `how it ends` is "exit" without a signal. Prints a line of JSON for each: name, seconds,
return code.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time

from zkdiscovery import Client, close_on_signals


def sleep(*_: object) -> None:
    time.sleep(3600.0)


def run(name: str, hosts: str, namespace: str, script: str, go: int) -> None:
    client, other = (Client(hosts, namespace=namespace) for _ in range(2))
    exec(script, {**globals(), "client": client, "other": other})
    close_on_signals(client, other)
    os.write(1, f"ready {name}\n".encode())
    os.read(go, 1)


def main() -> None:
    processes: dict[int, tuple[str, str]] = {}
    go, tell = os.pipe()
    for name, (hosts, namespace, script, how) in json.loads(sys.argv[1]).items():
        pid = os.fork()
        if pid == 0:
            os.close(tell)
            run(name, hosts, namespace, script, go)
            if how == "exit":
                return
            threading.Event().wait()
        processes[pid] = name, how
    sys.stdin.readline()
    begun = time.monotonic()
    os.close(tell)
    for pid, (_, how) in processes.items():
        if how != "exit":
            os.kill(pid, signal.SIGTERM)
    for _ in range(len(processes)):
        pid, status = os.wait()
        print(json.dumps([processes[pid][0], time.monotonic() - begun, os.waitstatus_to_exitcode(status)]), flush=True)


if __name__ == "__main__":
    main()
