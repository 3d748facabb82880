"""With the defaults, the SDK adds at most 8 s to the end of a process in every state. Docker kills after 10."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from tests.support import Truth
from zkdiscovery.testing import FaultProxy, ZookeeperServer

PROMISED = 8.0  # seconds
QUICK = 5.0  # seconds: what waits for ZooKeeper in vain takes longer
PROCESSES = Path(__file__).with_name("ending_processes.py")

REGISTER = 'one = client.register("payments", 8080, id="a", host="10.0.0.1", drain_delay=0.0)\n'
REGISTERED = REGISTER + "one.wait_registered(20.0)\n"
MANY = """
entries = [{"service": "s", "port": port, "host": "10.0.0.1"} for port in range(1, 1001)]
for one in client.register_many(entries):
    one.wait_registered(20.0)
"""
LEADING = """
led = threading.Event()
client.election("job").start(lambda term: (led.set(), sleep()))
assert led.wait(20.0)
"""
BUSY = """
filtering = threading.Event()
client.on_change(sleep)
view = client.discover("payments", where=lambda _: (filtering.set(), sleep()))
assert filtering.wait(20.0)
"""
SERVING = """
@client.registered("payments", 8080, id="a", host="10.0.0.1", ready="now", drain_delay=1.0)
def serve(one):
    one.wait_registered(20.0)
    with client.register("orders", 8081, id="a", host="10.0.0.1").wait_registered(20.0):
        until_go()
work = serve
"""
CAMPAIGNING = """
def lead():
    with client.election("job").campaign(20.0):
        until_go()
work = client.registered("payments", 8080, id="a", host="10.0.0.1", ready="now")(lead)
"""
ON_A_LOOP = """
async def hold():
    async with AsyncClient.of(client) as mine, mine.register("payments", 8080, host="10.0.0.1", drain_delay=1.0) as one:
        await one.wait_registered(20.0)
        async with mine.election("job").campaign(20.0), mine.lock("invoice").hold(20.0):
            until_go()
            await asyncio.sleep(3600.0)
work = lambda: asyncio.run(hold())
"""
WAITING = """
def go_once_it_waits():
    while not client.lock("invoice").waiters(20.0):
        time.sleep(0.01)
    until_go()
def wait_for():
    held = other.lock("invoice").acquire(20.0)
    threading.Thread(target=go_once_it_waits, daemon=True).start()
    client.lock("invoice").acquire(None)
work = wait_for
"""
UNRESOLVED = "import socket\nsocket.getaddrinfo = sleep\nclient.start()\n"

# What a process does, and what then befalls its way to ZooKeeper.
STATES: dict[str, tuple[str, Callable[[FaultProxy], None] | None]] = {
    "connected": (REGISTERED, None),
    "draining": (REGISTERED.replace("0.0", "5.0"), None),
    "leading, in a block that does not end": (REGISTERED + LEADING, None),
    "in a callback and a filter that do not end": (REGISTERED + BUSY, None),
    "many registrations": (MANY, None),
    "refused": (REGISTERED, FaultProxy.refuse),
    "silent": (REGISTERED + "other.wait_connected(20.0)\n", FaultProxy.pause),
    "all of it, silent": (MANY + REGISTERED + LEADING + BUSY, FaultProxy.pause),
    "never connected": (REGISTER, None),
    "never resolved": (UNRESOLVED, None),
    "exit": (REGISTERED, None),
    "exit, silent": (REGISTERED, FaultProxy.pause),
    "interrupt, serving": (SERVING, None),
    "interrupt, serving, refused": (SERVING, FaultProxy.refuse),
    "interrupt, serving, silent": (SERVING, FaultProxy.pause),
    "interrupt, leading, silent": (CAMPAIGNING, FaultProxy.pause),
    "interrupt, on a loop": (ON_A_LOOP, None),
    "interrupt, on a loop, silent": (ON_A_LOOP, FaultProxy.pause),
    "interrupt, waiting, silent": (WAITING, FaultProxy.pause),
}


def test_every_state(zkdiscovery_server: ZookeeperServer, truth: Truth, namespace: str) -> None:
    """All at the same time, because each that can't reach ZooKeeper takes what it may."""
    runs: dict[str, tuple[str, str, str, str]] = {}
    with ExitStack() as stack:
        faults: list[Callable[[], None]] = []
        for name, (script, fault) in STATES.items():
            proxy = stack.enter_context(FaultProxy(zkdiscovery_server.hosts))
            if fault is not None:
                faults.append(lambda fault=fault, proxy=proxy: fault(proxy))
            hosts = "127.0.0.1:1" if name == "never connected" else proxy.address
            runs[name] = hosts, f"{namespace}/{len(runs)}", script, name.partition(",")[0]
        processes = stack.enter_context(
            subprocess.Popen(
                [sys.executable, str(PROCESSES), json.dumps(runs)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                start_new_session=True,
            )
        )
        stack.callback(os.killpg, processes.pid, signal.SIGKILL)  # not waited for yet: the id is not given to others
        assert processes.stdin is not None
        assert processes.stdout is not None
        for _ in runs:
            assert processes.stdout.readline().startswith("ready ")
        for cut_off in faults:
            cut_off()
        processes.stdin.write("go\n")
        processes.stdin.flush()
        ended = [json.loads(line) for line in processes.stdout]
    print("\n".join(f"{seconds:5.2f} s  {name}" for name, seconds, _ in ended))
    took = {name: seconds for name, seconds, _ in ended}
    assert took.keys() == runs.keys()
    assert {name: seconds for name, seconds in took.items() if seconds > PROMISED} == {}
    by_itself = {name: status for name, _, status in ended if status != -signal.SIGTERM}
    assert by_itself == {name: 0 for name in runs if name.startswith(("exit", "interrupt"))}
    assert {
        name for name in ("connected", "many registrations", "exit", "interrupt, serving") if took[name] > QUICK
    } == set()
    for name, (_, where, _, _) in runs.items():
        if STATES[name][1] is None:
            assert truth.children(f"{where}/services/payments") == [], name
            assert truth.children(f"{where}/services/s") == [], name
