"""Is all as it should be, some time after the last fault? Pure functions of what ZooKeeper holds and workers say.

The problems come in categories, each with a bound of its own (checker.py).
"""

from __future__ import annotations

from typing import Any

CATEGORIES = ("reports", "registrations", "twins", "unwanted", "caches", "leaders", "waiters", "orphans", "shards")

Problems = dict[str, list[str]]


def find_problems(truth: dict[str, Any], states: dict[str, dict[str, Any]], workers: list[str], round: int) -> Problems:
    """What is not as it should be, by category.

    Args:
        truth: of `Observatory.look`.
        states: the latest report of each worker, by its name and life.
        workers: those that live.
        round: whose reports count.
    """
    problems: Problems = {category: [] for category in CATEGORIES}
    present = {who: states[who] for who in workers if who in states and states[who]["round"] == round}
    problems["reports"] += [f"{who} has not reported" for who in workers if who not in present]
    problems["reports"] += [f"{who} is in the midst of an act" for who, state in present.items() if state["busy"]]
    claims = [(who, state["session"], claim) for who, state in present.items() for claim in state["wanted"]]
    _check_registrations(truth, claims, problems)
    for who, state in present.items():
        for service, cache in state["caches"].items():
            problems["caches"] += [
                f"{who} {service}: {problem}" for problem in cache_problems(cache, truth["services"][service])
            ]
    for election, candidates in truth["elections"].items():
        terms = {who: state["terms"][election] for who, state in present.items()}
        problems["leaders"] += [f"{election}: {problem}" for problem in leader_problems(candidates, terms)]
    problems["waiters"] += [f"{who} waits for {of}" for who, state in present.items() for of in state["waits"]]
    # By now nobody wants to hold a lock, so whoever waits is served, and all nodes go.
    problems["orphans"] += [f"{path} stands" for paths in truth["queues"].values() for path in paths]
    problems["shards"] += shard_problems(truth["shards"], truth["sharers"], present)
    return problems


def _check_registrations(
    truth: dict[str, Any], claims: list[tuple[str, int, dict[str, Any]]], problems: Problems
) -> None:
    groups: dict[tuple[str, str], list[tuple[str, int, dict[str, Any]]]] = {}
    for entry in claims:
        groups.setdefault((entry[2]["service"], entry[2]["id"]), []).append(entry)
    for (service, name), group in groups.items():
        node = truth["services"][service].get(name)
        category = "twins" if group[0][2]["twin"] else "registrations"
        found = twin_problems(node, group) if category == "twins" else own_problems(node, *group[0])
        problems[category] += [f"{service}/{name}: {problem}" for problem in found]
    for service, nodes in truth["services"].items():
        problems["unwanted"] += [
            f"{service}/{name} stands, and nobody wants it" for name in nodes if (service, name) not in groups
        ]


def own_problems(node: dict[str, Any] | None, who: str, session: int, claim: dict[str, Any]) -> list[str]:
    """A registration that one process wants: it stands, owned by that process' session, as wanted last."""
    problems = []
    if claim["state"] != "REGISTERED":
        problems.append(f"{who} says {claim['state']}")
    if node is None:
        return [*problems, f"wanted by {who}, and missing"]
    if node["owner"] != session:
        problems.append(f"owned by 0x{node['owner']:x}, not by {who}, 0x{session:x}")
    if node["instance"] is None:
        return [*problems, "can't be decoded"]
    return problems + [
        f"{name} is {node['instance'][name]!r}, wanted by {who}: {claim[name]!r}"
        for name in ("by", "life", "nonce", "seq", "status", "weight")
        if node["instance"][name] != claim[name]
    ]


def twin_problems(node: dict[str, Any] | None, group: list[tuple[str, int, dict[str, Any]]]) -> list[str]:
    """A registration that several processes want: at most one says REGISTERED, and the node is its own."""
    holders = [entry for entry in group if entry[2]["state"] == "REGISTERED"]
    if len(holders) > 1:
        return [f"{' and '.join(who for who, _, _ in holders)} say REGISTERED"]
    if holders:
        return own_problems(node, *holders[0])
    problems = [f"{who} says PENDING" for who, _, claim in group if claim["state"] == "PENDING"]
    waiting = [who for who, _, claim in group if claim["state"] == "WAITING"]
    if waiting:
        problems.append(f"{' and '.join(waiting)} wait, and nobody says REGISTERED")
    if node is not None:  # whoever says CONFLICT stands back for good; then nobody owns it
        problems.append(f"nobody says REGISTERED, and 0x{node['owner']:x} owns a node")
    return problems


def cache_problems(cache: dict[str, Any], nodes: dict[str, Any]) -> list[str]:
    """A cache equals ZooKeeper."""
    if cache["stale"] or not cache["loaded"]:
        return ["stale" if cache["loaded"] else "not loaded"]
    problems = []
    wanted = {name: node["instance"] for name, node in nodes.items() if node["instance"] is not None}
    for name in sorted(wanted.keys() | cache["instances"].keys()):
        here, there = cache["instances"].get(name), wanted.get(name)
        if here != there:
            problems.append(f"{name} is {here} here and {there} in ZooKeeper")
    if listed := set(cache["suspects"]) & wanted.keys():
        problems.append(f"suspected, though they stand: {sorted(listed)}")
    return problems


def leader_problems(candidates: list[dict[str, Any]], terms: dict[str, int | None]) -> list[str]:
    """An election has one leader: the first of the queue, and it knows."""
    leaders = [who for who, fence in terms.items() if fence is not None]
    if not candidates:
        return [f"no candidate, and {leaders} lead" if leaders else "no candidate"]
    first = candidates[0]
    if len(leaders) != 1:
        return [f"{len(leaders)} leaders: {leaders}; first in the queue: {first['data']} {first['fence']}"]
    if terms[leaders[0]] != first["fence"]:
        return [f"{leaders[0]} leads with {terms[leaders[0]]}, and the first in the queue has {first['fence']}"]
    return []


def shard_problems(
    shards: dict[str, list[dict[str, Any]]], sharers: dict[str, list[dict[str, Any]]], states: dict[str, dict[str, Any]]
) -> list[str]:
    """Each shard has one owner, which knows; all members are there, and as even as whole shards permit.

    Args:
        shards: the places in the queue of each shard.
        sharers: the nodes of the members, and the places of those who may assign.
        states: the reports.
    """
    problems = []
    for of, places in shards.items():
        holders = [who for who, state in states.items() if of in state["shards"]]
        if len(holders) != 1 or len(places) != 1:
            problems.append(f"{of}: held by {holders}, and {len(places)} places in the queue")
        elif (held := states[holders[0]]["shards"][of]) != places[0]["fence"]:
            problems.append(f"{of}: {holders[0]} holds it with {held}, and the place has {places[0]['fence']}")
    sessions = sorted(state["session"] for state in states.values())
    for of, nodes in sharers.items():
        if (owners := sorted(node["owner"] for node in nodes)) != sessions:
            problems.append(f"{of}: nodes of {owners}, and the members have {sessions}")
    numbers = {who: len(state["shards"]) for who, state in states.items()}
    if numbers and max(numbers.values()) - min(numbers.values()) > 1:
        problems.append(f"uneven: {numbers}")
    return problems
