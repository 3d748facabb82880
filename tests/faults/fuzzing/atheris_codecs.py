"""Coverage-guided fuzzing of the codecs, by hand: for as long as you let it run.

    pip install atheris
    python -m tests.faults.fuzzing.atheris_codecs -max_total_time=600

It stops at the first input that is neither an instance that keeps the model's promises nor UndecodableNode, and writes
it to a file `crash-…`. Its coverage does not see what pydantic does in Rust; most inputs are put into a healthy node.
"""

from __future__ import annotations

import json
import sys

import atheris

with atheris.instrument_imports(include=["zkdiscovery"]):
    from zkdiscovery import UndecodableNode
    from zkdiscovery.codecs.curator import CuratorCodec
    from zkdiscovery.election.candidate import decode
    from zkdiscovery.errors import InvalidInstance

CODEC = CuratorCodec()
OURS = ("status", "weight", "zone", "version", "tags", "ports", "x")
KEYS = ("instance_status", "weight", "zone", "status", *(f"zkdiscovery.{name}" for name in OURS), "")
HEALTHY = {
    "name": "payments", "id": "a", "address": "10.0.0.7", "port": 8080, "sslPort": None, "registrationTimeUTC": 1,
    "payload": {"@class": "org.springframework.cloud.zookeeper.discovery.ZookeeperInstance", "metadata": {}},
}  # fmt: skip


def node(how: int, where: int, data: bytes) -> bytes:
    """The input itself, in the place of a part of a healthy node, or as a text in its metadata or its address."""
    if how % 4 == 0:
        return data
    if how % 4 == 1:
        healthy = json.dumps(HEALTHY).encode()
        at = where % len(healthy)
        return healthy[:at] + data + healthy[at + how // 4 :]
    text = data.decode("utf-8", "replace")
    if how % 4 == 2:
        return json.dumps(HEALTHY | {"address": text}).encode()
    metadata = {KEYS[where % len(KEYS)]: text, "x": text}
    return json.dumps(HEALTHY | {"payload": {**HEALTHY["payload"], "metadata": metadata}}).encode()


def try_one(given: bytes) -> None:
    """One input: two bytes say how the rest is used."""
    if len(given) < 2:
        return
    data = node(given[0], given[1], given[2:])
    assert decode(data, 1).id.isprintable()
    try:
        instance = CODEC.decode("payments", "a", data)
    except UndecodableNode as error:
        if not str(error).isprintable():
            raise AssertionError(str(error)) from error
        return
    assert instance.with_() == instance
    try:
        written = CODEC.encode(instance, previous=data)
    except InvalidInstance:
        return
    assert CODEC.decode("payments", "a", written) == instance
    assert CODEC.encode(instance, previous=written) == written


if __name__ == "__main__":
    atheris.Setup(sys.argv, try_one)
    atheris.Fuzz()
