"""The schedule of faults: a pure function of the seed.

A round is a handful of faults that begin within a few seconds, and may overlap, followed by healing. Targets that only
the run knows are named by their part: the ensemble's leader, the leader of an election.
"""

from __future__ import annotations

import random
from typing import Any, NamedTuple

MEMBERS = 3
BEGIN = 5.0  # seconds after the beginning of a round, within which its faults begin
CALM = 0.3  # share of the rounds in which the clients change nothing of their own accord
LIMIT = 4  # the largest one of the semaphore
SHORT = 0.5  # share of the other rounds in which all faults end at one time

LINK = ("pause", "blackhole", "half_open", "refuse", "drop", "delay", "lose_reply", "lose_request", "reset_mid_frame")
LOST = ("create", "delete", "set_data", "multi", "create_container")

# Kinds by room, with their weights. What exposes much is frequent.
CLIENT_FAULTS = {
    "pause": 3, "blackhole": 5, "half_open": 2, "refuse": 3, "drop": 2, "delay": 2, "lose_reply": 4, "lose_request": 2,
    "reset_mid_frame": 2, "stop": 4, "stop_long": 3, "kill": 2, "restart": 2, "expire": 3,
}  # fmt: skip
OPERATOR_FAULTS = {
    "delete_candidate": 2, "delete_instance": 3, "delete_service": 2, "override": 3, "garbage": 2,
    "delete_place": 3, "delete_shard": 3,
}  # fmt: skip
ENSEMBLE_FAULTS = {
    "trap": 6, "kill_member": 3, "pause_member": 3, "isolate": 3, "cut": 2, "rolling_restart": 1, "restart_all": 1,
    "kill_two": 2, "pause_all": 2, "drowse": 4, "hold": 4,
}  # fmt: skip

LEASE_FAULTS = ("drowse", "hold")  # of the ensemble and a client together


class Fault(NamedTuple):
    """One fault.

    Attributes:
        kind: its name.
        begin: seconds after the beginning of the round.
        duration: seconds; 0.0 for what happens at one moment.
        target: what it strikes: the number of a client, "leader" or "follower" of the ensemble, the number of an
            election, a service, the queue of a lock or a parent of nodes of shards.
        options: what else the kind needs.
    """

    kind: str
    begin: float
    duration: float
    target: Any
    options: dict[str, Any]


class Round(NamedTuple):
    """The faults of one round.

    Attributes:
        number: from 1 on.
        calm: the clients only look and lead.
        short: all faults end at one time, whether or not they have lasted for as long as they were meant to.
        faults: in the order of their beginning.
    """

    number: int
    calm: bool
    short: bool
    faults: tuple[Fault, ...]


def plan_round(
    seed: int, number: int, *, clients: int, services: int, elections: int, queues: int, shards: int, timeout: float
) -> Round:
    """The round of that number.

    Args:
        seed: of the run.
        number: of the round.
        clients, services, elections, queues, shards: how many targets there are of each.
        timeout: session timeout of the clients in seconds.
    """
    rng = random.Random(f"{seed}/{number}")
    calm = rng.random() < CALM
    short = not calm and rng.random() < SHORT
    faults = []
    free = rng.sample(range(clients), clients)  # one fault a client, so that none undoes another
    if calm or rng.random() < 0.4:
        faults.append(_ensemble_fault(rng, calm, elections, timeout))
    else:
        faults.append(_lease_fault(rng, rng.choice(LEASE_FAULTS), elections, timeout))
    kinds = _draw(rng, CLIENT_FAULTS, rng.randint(1, 2) if calm else rng.randint(3, 6))[:clients]
    faults += [_client_fault(rng, kind, free.pop(), timeout) for kind in kinds]
    if not calm:
        for kind in _draw(rng, OPERATOR_FAULTS, rng.randint(0, 3)):
            targets = {"delete_candidate": elections, "delete_place": queues, "delete_shard": shards}
            target = rng.randrange(targets.get(kind, services))
            lasts = rng.uniform(1.0, 5.0) if kind == "override" else 0.0
            faults.append(Fault(kind, rng.uniform(0.0, BEGIN), lasts, target, {"pick": rng.random()}))
        for _ in range(rng.randint(1, 3)):  # no faults, but changes in the midst of them
            begin, target, options = rng.uniform(0.0, BEGIN), rng.randrange(clients), {"limit": rng.randint(1, LIMIT)}
            faults.append(Fault("set_limit", begin, 0.0, target, options))
    return Round(number, calm, short, tuple(sorted(faults, key=lambda fault: fault.begin)))


def _draw(rng: random.Random, weights: dict[str, int], count: int) -> list[str]:
    return rng.choices(list(weights), list(weights.values()), k=count)


def _client_fault(rng: random.Random, kind: str, client: int, timeout: float) -> Fault:
    begin = rng.uniform(0.0, BEGIN)
    options: dict[str, Any] = {}
    lasts = 0.0
    if kind in {"pause", "blackhole", "half_open", "refuse", "delay"}:
        # Blips, close to the lease, and longer than the session.
        lasts = rng.choice([0.1, 0.3, 0.6, 1.0, 1.6, 1.8]) * timeout * rng.uniform(0.8, 1.1)
        if kind == "half_open":
            options["direction"] = rng.choice(["client_to_server", "server_to_client"])
        if kind == "delay":
            options["seconds"] = rng.choice([0.02, 0.1, 0.4])
    elif kind in {"lose_reply", "lose_request"}:
        options["requests"] = [rng.choice(LOST)]
    elif kind == "reset_mid_frame":
        options["direction"] = rng.choice(["client_to_server", "server_to_client"])
    elif kind == "stop":
        lasts = rng.uniform(0.1, 0.9) * timeout
    elif kind == "stop_long":
        lasts = rng.uniform(1.3, 1.8) * timeout
    elif kind == "kill":
        lasts = rng.choice([0.0, 0.5, 1.5]) * timeout
    return Fault(kind, begin, lasts, client, options)


def _ensemble_fault(rng: random.Random, calm: bool, elections: int, timeout: float) -> Fault:
    # Calm rounds are for the trap: whoever writes notices by the silence that its server is cut off.
    kind = "trap" if calm and rng.random() < 0.8 else _draw(rng, ENSEMBLE_FAULTS, 1)[0]
    if kind in LEASE_FAULTS:
        return _lease_fault(rng, kind, elections, timeout)
    begin = rng.uniform(0.0, BEGIN / 2)
    if kind == "trap":  # a leader's server is cut from the ensemble's leader, and the other servers refuse the client
        return Fault(kind, begin, rng.uniform(1.6, 2.0) * timeout, rng.randrange(elections), {})
    lasts = {"kill_member": (0.0, 4.0), "pause_member": (1.0, 6.0), "isolate": (1.0, 7.0), "cut": (1.0, 7.0)}
    lasts |= {"kill_two": (0.5, 6.0), "pause_all": (0.5, 6.0)}
    return Fault(
        kind,
        begin,
        rng.uniform(*lasts[kind]) if kind in lasts else 0.0,
        rng.choice(["leader", "follower"]),
        {},
    )


def _lease_fault(rng: random.Random, kind: str, elections: int, timeout: float) -> Fault:
    """What a lease must not outlast: its holder stood still just before, and is cut off when it begins."""
    still = rng.uniform(0.8, 0.9) if kind == "drowse" else rng.uniform(0.35, 0.45)
    options = {"still": still * timeout, "held": 0.27 * timeout}
    lasts = (1.6 if kind == "drowse" else 1.3) * timeout
    return Fault(kind, rng.uniform(0.0, 0.3), lasts, rng.randrange(elections), options)
