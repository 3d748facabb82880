"""What the fuzz tests share: how many examples, and values that have broken parsers before.

The runs are the same each time. `FUZZ=50 pytest --timeout=0 tests/faults/fuzzing` tries 50 times as many examples, and
others each time.
"""

from __future__ import annotations

import json
import os
import time
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from zkdiscovery import Instance
from zkdiscovery.codecs import MAX_DATA_BYTES
from zkdiscovery.codecs.curator import CuratorCodec

FACTOR = int(os.environ.get("FUZZ", "1"))
CODEC = CuratorCodec()
SPRING = "org.springframework.cloud.zookeeper.discovery.ZookeeperInstance"


def examples(count: int) -> settings:
    """Settings for a test of `count` examples."""
    return settings(
        max_examples=count * FACTOR,
        deadline=None,
        derandomize=FACTOR == 1,
        database=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.function_scoped_fixture],
    )


@contextmanager
def bounded(*, seconds: float, megabytes: float) -> Iterator[None]:
    """Fail if the block computes longer on this thread, or takes more memory at one moment."""
    tracemalloc.start()
    start = time.thread_time()  # other processes that keep the cores busy do not count
    try:
        yield
        spent, (_, peak) = time.thread_time() - start, tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert spent < seconds
    assert peak < megabytes * 1_000_000


def check_message(error: BaseException, longest: int = 1000) -> None:
    """Its words can be shown anywhere: no control characters, and `longest` characters at most."""
    assert str(error).isprintable()
    assert len(str(error)) <= longest
    assert len(repr(error)) <= 2 * longest


# Texts that have broken parsers, terminals and logs.
HOSTILE_TEXTS = (
    "", " ", "\0", "a\0b", "\x1b[31mred\x1b[0m", "\x1b]0;title\x07", "\r\nfake: line", "\u202egnp.exe", "\u2028line",
    "\ufeffbom", "\ud800", "\U0001f4a9", "\uffff", "a" * 300, "../..", "/", "zookeeper", "${jndi:ldap://x}", "%s%n",
    "{0.__class__}", "__proto__", "1e999", "NaN", "-1", "0x10", "١٢", "1_000", "9" * 5000, "[red]markup[/red]",
)  # fmt: skip
HOSTILE_VALUES = (
    None, True, False, 0, -1, -0.0, 1.5, 8080.0, 2**31, 2**63, 2**64, -(2**63), 10**400, float("nan"), float("inf"),
    float("-inf"), 1e308, [], {}, [[]], [None], {"": ""}, {"@class": SPRING}, {"@class": "java.lang.Runtime"},
    {"@class": [SPRING]}, ["java.lang.Long", 7], ["java.net.URL", "http://x"], *HOSTILE_TEXTS,
)  # fmt: skip

hostile_text = st.sampled_from(HOSTILE_TEXTS) | st.text(max_size=20)
hostile_json = st.recursive(
    st.sampled_from(HOSTILE_VALUES) | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(hostile_text, inner, max_size=4),
    max_leaves=12,
)


def plain(**fields: Any) -> dict[str, Any]:
    """The JSON of a healthy instance, with some fields replaced."""
    healthy = Instance(
        "payments", "10.0.0.7", 8080, id="a", zone="z1", weight=2.0, tags=("blue",), ports={"metrics": 9100},
        metadata={"team": "core"}, registered_at=1_700_000_000.123,
    )  # fmt: skip
    node: dict[str, Any] = json.loads(CODEC.encode(healthy))
    return node | fields


def dump(value: Any) -> bytes:
    """JSON as careless programs write it: NaN and Infinity as they are, lone surrogates as escapes."""
    return json.dumps(value, separators=(",", ":")).encode()


def nested(depth: int, opening: str, closing: str, core: str = "0") -> str:
    """`core` in `depth` arrays or objects."""
    return opening * depth + core + closing * depth


def at_limit(make: Callable[[int], bytes]) -> bytes:
    """The largest of `make(1), make(2), …` that the codecs still look at, about."""
    step = max(1, len(make(101)) - len(make(100)))
    return make((MAX_DATA_BYTES - len(make(1))) // step)
