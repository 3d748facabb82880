"""The script of a process that follows a service and forks when it is told to."""

from __future__ import annotations

PARENT = """
import faulthandler, gc, os, signal, sys, threading, time, warnings
warnings.simplefilter("ignore", DeprecationWarning)  # from Python 3.12 on: a fork beside threads
from zkdiscovery import Client, ClientClosed
from zkdiscovery.balancing import RoundRobin

hosts, namespace = sys.argv[1:]

def make_client():
    return Client(hosts, namespace=namespace, session_timeout=3.0)

states = []  # other than that it is connected
client = make_client()
registration = client.register("payments", 8080, id="a", host="10.0.0.1").wait_registered(20.0)
view = client.discover("payments").wait_ready(20.0)
election = client.election("job")
client.on_change(states.append)

def ids():
    return sorted(instance.id for instance in view.instances)

def until(condition):
    end = time.monotonic() + 10.0
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError("waited in vain")
        time.sleep(0.01)

def wait_word():
    # The parent waits for the end of the child meanwhile, so what the test says is for the child.
    os.read(0, 1000)

faulthandler.register(signal.SIGALRM, chain=True)

def born(code):
    signal.alarm(20)  # whatever blocks for good
    try:
        exec(code, globals())
        print("child done")
    except BaseException as error:
        print("child failed", type(error).__name__, error)
        os._exit(1)
    os._exit(0)

def reap(pid):
    print("exit", os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))

def fork(code):
    pid = os.fork()
    if pid == 0:
        born(code)
    reap(pid)

def loop():
    child = None
    for change in view.changes(15.0):
        if not change.delta:  # that contact is back
            continue
        print("before:" if child is None else "above:" if child else "below:", *sorted(change.delta))
        if child is None:
            child = os.fork()
            print("forked")
            if child == 0:
                signal.alarm(20)
        elif "b" in change.delta:
            break
    if child == 0:
        os._exit(0)
    reap(child)

class Slow(RoundRobin):
    applying, go_on = threading.Event(), threading.Event()

    def build(self, endpoints):
        if len(endpoints) == 2 and not self.go_on.is_set():
            self.applying.set()
            self.go_on.wait(20.0)
        return super().build(endpoints)

def slow(change):
    seen.extend(change.delta)
    begun.set()
    go_on.wait(20.0)

def how_is_it():
    registration.update(weight=registration.instance.weight + 1.0)  # the session is usable, and still the same one
    registration.wait_registered(20.0)
    view.pick()
    print("parent", client.state, *states, view.snapshot.stale)
"""
