"""What a worker registers in one service: its own instances, and ids that it shares with a twin."""

from __future__ import annotations

import itertools
from random import Random
from typing import Any

from tests.faults.chaos.history import History, now
from tests.faults.chaos.mood import Mood
from zkdiscovery import Client, Registration, RegistrationState, Status, ZkDiscoveryError

LIVELY, LAZY = 0.6, 3.0  # seconds between two acts on the mean
_numbers = itertools.count(1)  # of the registrations of this process, in the order of their making


class Slot:
    """One id, registered again and again.

    Attributes:
        mode: what the registration does on a conflict.
        twin: another worker registers it, too.
    """

    def __init__(self, id: str, mode: str, *, twin: bool) -> None:
        self.id, self.mode, self.twin = id, mode, twin
        self.registration: Registration | None = None
        self.nonce = self.seq = 0


class Hand:
    """Acts on one service, on a thread of its own."""

    def __init__(
        self, client: Client, service: str, config: dict[str, Any], history: History, mood: Mood, rng: Random
    ) -> None:
        self._client, self._service, self._history, self._mood, self._rng = client, service, history, mood, rng
        self._name, self._life = config["name"], config["life"]
        self._pace = LAZY if config["lazy"] else LIVELY
        self._slots = [Slot(f"{self._name}-{letter}", "replace", twin=False) for letter in "ab"]
        self._slots += [Slot(t["id"], t["mode"], twin=True) for t in config["twins"] if t["service"] == service]

    def run(self) -> None:
        """Act until the process ends."""
        for slot in self._slots:
            self._act(slot)
        while True:
            self._mood.pause(self._rng.expovariate(1 / self._pace))
            if not self._act(self._rng.choice(self._slots)):
                return

    def wanted(self) -> list[dict[str, Any]]:
        """What this process claims, and what is known of it."""
        claims = []
        for slot in self._slots:
            registration = slot.registration
            if registration is not None:
                instance = registration.instance
                claims.append({
                    "service": self._service, "id": slot.id, "twin": slot.twin, "mode": slot.mode,
                    "state": str(registration.state), "by": self._name, "life": self._life, "nonce": slot.nonce,
                    "seq": slot.seq, "status": str(instance.status), "weight": instance.weight,
                })  # fmt: skip
        return claims

    def _act(self, slot: Slot) -> bool:
        if not self._mood.begin_act():
            return False
        try:
            self._change(slot)
        finally:
            self._mood.end_act()
        return True

    def _change(self, slot: Slot) -> None:
        registration, draw = slot.registration, self._rng.random()
        if registration is None:
            self._register(slot)
        elif registration.state is RegistrationState.CONFLICT:
            if draw < 0.3:
                self._note("reclaim", slot)
                registration.reclaim()
            elif draw < 0.6:
                self._renew(slot, registration)
        elif draw < 0.5:
            self._update(slot, registration)
        elif draw < 0.58:
            self._note("status", slot)
            registration.set_status(self._rng.choice([Status.UP, Status.UP, Status.DOWN]))
        elif draw < 0.68:
            self._wait(registration)
        elif draw < 0.74:
            self._note("drain", slot)
            began = now()
            slot.registration = None
            registration.drain(delay=self._rng.choice([0.0, 0.2]), timeout=2.0)
            self._history.write("call", name="drain", begin=began, end=now(), limit=2 * 2.0 + 0.2, result="ok")
        elif slot.twin and slot.mode == "wait" and draw < 0.78:
            self._note("reclaim", slot)
            registration.reclaim()
        else:
            self._renew(slot, registration)

    def _register(self, slot: Slot) -> None:
        slot.nonce, slot.seq = next(_numbers), 0
        self._note("register", slot)
        slot.registration = self._client.register(
            self._service,
            8000,
            host="127.0.0.1",
            id=slot.id,
            weight=float(self._rng.randint(1, 9)),
            metadata=self._metadata(slot),
            on_conflict=slot.mode,  # type: ignore[arg-type]
        )

    def _renew(self, slot: Slot, registration: Registration) -> None:
        """Close, and register again; at once, so that whoever is cut off meanwhile sees the same version of a node."""
        self._note("close", slot)
        began = now()
        slot.registration = None
        registration.close(timeout=2.0)
        self._history.write("call", name="registration.close", begin=began, end=now(), limit=2 * 2.0, result="ok")
        self._register(slot)

    def _update(self, slot: Slot, registration: Registration) -> None:
        slot.seq += 1
        self._note("update", slot)
        registration.update(weight=float(self._rng.randint(1, 9)), metadata=self._metadata(slot))

    def _wait(self, registration: Registration) -> None:
        limit, began = self._rng.choice([0.2, 1.0, 3.0]), now()
        try:
            registration.wait_registered(limit)
        except ZkDiscoveryError as error:
            result = type(error).__name__
        else:
            result = "ok"
        self._history.write("call", name="wait_registered", begin=began, end=now(), limit=limit, result=result)

    def _metadata(self, slot: Slot) -> dict[str, str]:
        return {"by": self._name, "life": str(self._life), "nonce": str(slot.nonce), "seq": str(slot.seq)}

    def _note(self, act: str, slot: Slot) -> None:
        self._history.write("act", act=act, service=self._service, id=slot.id, nonce=slot.nonce, seq=slot.seq)
