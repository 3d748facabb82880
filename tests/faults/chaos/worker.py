"""A client process: registers, leads, takes locks, shares shards, discovers and calls, and records all it sees.

worker.py is told on standard input, a line of JSON each:
    {"do": "go", "round": 3, "calm": false}    a round begins; its history goes to a file of its own
    {"do": "quiet"}                            want nothing else from now on, and report where all stands
    {"do": "expire"}                           end the own session by force
    {"do": "limit", "number": 3}               change the limit of the semaphore
    {"do": "leave"}                            close the client and end

Threads: one for each service registers, one for each election campaigns, one for each lock takes it, one runs the
member of the shards, one lets it leave, one calls, one samples the holds, one reports.
"""

from __future__ import annotations

import faulthandler
import json
import logging
import os
import sys
import threading
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

from tests.faults.chaos import bugs
from tests.faults.chaos.calls import Caller
from tests.faults.chaos.hands import Hand
from tests.faults.chaos.history import History, now
from tests.faults.chaos.leading import Campaigner
from tests.faults.chaos.locking import LOCKS, Locker, set_limit
from tests.faults.chaos.mood import Mood
from tests.faults.chaos.on_loop import Loop
from tests.faults.chaos.sampling import Sampler
from tests.faults.chaos.sharding import Sharer
from tests.faults.chaos.watching import Watcher
from tests.support import core_of
from zkdiscovery import Client
from zkdiscovery.settings import Guard, settings_without_environment
from zkdiscovery.testing import expire_session

REPORT = 0.1  # seconds between two looks at where all stands, while it is quiet


class Worker:
    """One life of a client process."""

    def __init__(self, config: dict[str, Any]) -> None:
        self.config = config
        self.who = f"{config['name']}.{config['life']}"
        self.history = History(Path(config["directory"]), self.who, config["round"])
        self.mood = Mood(quiet=config["quiet"])
        self.round = config["round"]
        rng = Random(f"{config['seed']}/{self.who}")
        settings = settings_without_environment(
            hosts=config["hosts"], namespace=config["namespace"], session_timeout=config["timeout"], guard=Guard()
        )
        self.client = Client(settings=settings)
        self.sampler = Sampler(self.history)
        self.watcher = Watcher(self.client, config["services"], self.history)
        self.hands = [
            Hand(self.client, service, config, self.history, self.mood, Random(rng.random()))
            for service in config["services"]
        ]
        self.campaigners = [
            Campaigner(self.client, election, self.who, config["store"], self.history, self.sampler, self.mood,
                       Random(rng.random()))
            for election in config["elections"]
        ]  # fmt: skip
        loop = Loop() if config["on_loop"] else None
        self.lockers = [
            Locker(self.client, of, self.who, config["store"], self.history, self.sampler, self.mood,
                   Random(rng.random()), loop)
            for of in LOCKS
        ]  # fmt: skip
        self.sharer = Sharer(
            self.client, self.who, config["store"], self.history, self.sampler, self.mood, Random(rng.random()), loop
        )
        self.caller = Caller(self.client, config, self.history, self.mood, Random(rng.random()))

    def run(self) -> None:
        """Until told to leave, or until the controller is gone."""
        self.history.write("born", pid=os.getpid())
        self.client.on_change(lambda state: self.history.write("session", state=str(state)))
        self.client.start()
        self.watcher.start()
        tasks = [*(h.run for h in self.hands), *(c.run for c in self.campaigners), *(each.run for each in self.lockers)]
        for task in (*tasks, self.sharer.run, self.sharer.leave, self.caller.run, self._report, self.sampler.run):
            threading.Thread(target=self._guarded, args=(task,), daemon=True).start()
        for line in sys.stdin:
            order = json.loads(line)
            if order["do"] == "leave":
                break
            self._obey(order)
        began = now()
        self.mood.end()
        self.client.close(5.0)
        self.history.write("call", name="close", begin=began, end=now(), limit=5.0, result="ok")

    def _guarded(self, task: Any) -> None:
        try:
            task()
        except Exception as error:
            if not self.mood.over:
                logging.getLogger("chaos").exception("a thread of the worker failed")
                self.history.write("defect", error=repr(error))

    def _obey(self, order: dict[str, Any]) -> None:
        if order["do"] == "go":
            self.round = order["round"]
            self.history.rotate(self.round)
            self.mood.go(calm=order["calm"])
        elif order["do"] == "quiet":
            self.mood.be_quiet()
        elif order["do"] == "expire":
            threading.Thread(target=self._expire, daemon=True).start()
        elif order["do"] == "limit":
            task = partial(set_limit, self.client, order["number"], self.history)
            threading.Thread(target=self._guarded, args=(task,), daemon=True).start()

    def _expire(self) -> None:
        session = core_of(self.client).session
        session_id, password = session.session_id, session.credentials.password if session.credentials else b""
        self.history.write("forced", done=False)
        try:
            expire_session(session_id, password, self.config["real_hosts"])
        except Exception as error:
            self.history.write("forced", done=True, error=repr(error))
        else:
            self.history.write("forced", done=True)

    def _report(self) -> None:
        """While it is quiet: where all stands, whenever it is different."""
        told = None
        while not self.mood.over:
            self.mood.wait_quiet()
            state = self._state()
            if state != told:
                self.history.write("state", **state)
                told = state
            self.mood.pause(REPORT)

    def _state(self) -> dict[str, Any]:
        busy = self.mood.busy
        return {
            "round": self.round,
            "busy": busy,
            "session": core_of(self.client).session.session_id,
            "wanted": [entry for hand in self.hands for entry in hand.wanted()],
            "caches": self.watcher.caches(),
            "terms": {campaigner.name: campaigner.fence() for campaigner in self.campaigners},
            "waits": [locker.of for locker in self.lockers if locker.waiting],
            "shards": self.sharer.fences(),
        }


def main() -> None:
    """What the argument says."""
    faulthandler.enable()
    config = json.loads(sys.argv[1])
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(threadName)s %(name)s %(message)s", stream=sys.stderr)
    if config["plant"]:
        bugs.plant(config["plant"])
    Worker(config).run()


if __name__ == "__main__":
    main()
