"""Answers of a server that lies: read completely and of the right type, or refused with a short ValueError."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.faults.fuzzing.helpers import bounded, check_message, examples
from zkdiscovery.errors import ZkDiscoveryError
from zkdiscovery.session.requests import (
    CONTAINER,
    AccessEntry,
    Check,
    Create,
    Delete,
    Exists,
    GetChildren,
    GetData,
    Multi,
    MultiRead,
    Node,
    Request,
    SetData,
    SetWatches,
    Stat,
    Sync,
)
from zkdiscovery.session.translate import error_for_code

OPEN = (AccessEntry(31, "world", "anyone"),)
STAT = struct.pack(">qqqqiiiqiiq", *range(11))
END = struct.pack(">iBi", -1, True, -1)


def text(value: str) -> bytes:
    data = value.encode()
    return struct.pack(">i", len(data)) + data


def header(kind: int) -> bytes:
    return struct.pack(">iBi", kind, False, 0)


def failed(code: int) -> bytes:
    return struct.pack(">iBii", -1, False, code, code)


NODE = struct.pack(">i", 4) + b"data" + STAT
TRANSACTION = Multi(
    [Create("/a", b"", OPEN), Create("/b", b"", OPEN, CONTAINER), SetData("/c", b""), Check("/d"), Delete("/e")]
)
# Each request with an answer that is right.
ANSWERS: list[tuple[Request, bytes]] = [
    (Create("/a", b"", OPEN), text("/a") + STAT),
    (SetData("/a", b""), STAT),
    (Exists("/a"), STAT),
    (GetData("/a"), NODE),
    (GetChildren("/a"), struct.pack(">i", 3) + text("one") + text("zwei ä") + text("")),
    (Delete("/a"), b""),
    (Check("/a"), b""),
    (Sync("/a"), text("/a")),
    (SetWatches(["/a"]), b""),
    *(
        (
            TRANSACTION,
            created + header(15) + text("/b") + STAT + header(5) + STAT + header(13) + header(2) + END,
        )
        for created in (header(1) + text("/a"), header(15) + text("/a") + STAT)
    ),
    (TRANSACTION, failed(0) + failed(-110) + failed(-2) * 3 + END),
    (MultiRead(["/a", "/b", "/c"]), header(4) + NODE + failed(-101) + header(4) + NODE + END),
]
LENGTHS = (-(2**31), -2, -1, 0, 1, 255, 65536, 2**24, 2**31 - 1)


def read(request: Request, answer: bytes) -> None:
    """Deserialize; what comes out is as the callers expect it."""
    try:
        result = request.deserialize(b"head" + answer, 4)
    except (ValueError, struct.error) as error:
        check_message(error, 300)
    except ZkDiscoveryError as error:
        assert type(request) is Multi
        check_message(error, 300)
        check_index(error.operation_index, request.operations)
    else:
        check_result(request, result)


def check_index(index: int | None, operations: Sequence[Any]) -> None:
    assert index is not None
    assert 0 <= index < len(operations)


def check_result(request: Request, result: Any) -> None:
    match request:
        case GetChildren():
            assert all(type(name) is str for name in result)
        case GetData():
            assert type(result) is Node
            assert type(result.data) is bytes
        case Create() | SetData() | Exists():
            assert type(result) is Stat
        case Multi():
            nothing = type(None)
            assert [type(part) for part in result[1:]] == [Stat, Stat, nothing, nothing]
            assert type(result[0]) in {Stat, nothing}
        case MultiRead():
            assert len(result) == len(request.paths)
            assert all(isinstance(part, (Node, int)) for part in result)
        case _:
            assert result is None


def test_the_answers_that_are_right_are_read() -> None:
    """Else the rest would show nothing."""
    for request, answer in ANSWERS:
        if b"\xff\xff\xff\x92" not in answer:  # the transaction that failed
            check_result(request, request.deserialize(b"head" + answer, 4))


@examples(400)
@given(st.sampled_from([request for request, _ in ANSWERS]), st.binary(max_size=300))
def test_random_answers(request: Request, answer: bytes) -> None:
    """Any bytes to any request."""
    read(request, answer)


@examples(800)
@given(st.sampled_from(ANSWERS), st.data())
def test_answers_flipped_truncated_and_spliced(pair: tuple[Request, bytes], data: st.DataObject) -> None:
    """Right answers gone wrong, and those to another request."""
    request, right = pair
    answer = bytearray(right)
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(answer) - 1)) if answer else 0
        match data.draw(st.sampled_from(["flip", "cut", "number", "insert", "another"])):
            case "flip" if answer:
                answer[at] ^= 1 << data.draw(st.integers(0, 7))
            case "cut":
                del answer[at:]
            case "number":
                answer[at : at + 4] = struct.pack(">i", data.draw(st.sampled_from(LENGTHS)))
            case "insert":
                answer[at:at] = data.draw(st.binary(max_size=8))
            case _:
                answer = bytearray(data.draw(st.sampled_from(ANSWERS))[1])
    read(request, bytes(answer))


@pytest.mark.parametrize(("request_", "answer"), ANSWERS, ids=lambda part: type(part).__name__)
def test_every_length_claimed_at_every_place(request_: Request, answer: bytes) -> None:
    """No memory is taken by a claimed length: 2 GB where there are 100 bytes."""
    with bounded(seconds=5.0, megabytes=5):
        for at in range(max(1, len(answer) - 3)):
            for length in LENGTHS:
                read(request_, answer[:at] + struct.pack(">i", length) + answer[at + 4 :])
        for end in range(len(answer)):
            read(request_, answer[:end])


@pytest.mark.parametrize(
    ("request_", "answer", "reason"),
    [
        (GetChildren("/a"), struct.pack(">i", 2**31 - 1), "2147483647 names in 0 bytes"),
        (GetChildren("/a"), struct.pack(">i", -2), "-2 names"),
        (GetChildren("/a"), struct.pack(">ii", 1, -1), "a text of -1 bytes"),
        (GetChildren("/a"), struct.pack(">ii", 1, 10) + b"abc", "a text of 10 bytes where 3 are left"),
        (GetChildren("/a"), struct.pack(">ii", 1, 3) + b"\xff\xfe\xfd", "a text is not UTF-8"),
        (Create("/a", b"", OPEN), struct.pack(">i", -1) + STAT, "a text of -1 bytes"),
        (Multi([Check("/a")]), END, "result 0 of a transaction is of type -1, not of 13"),
        (Multi([Check("/a")]), header(2), "result 0 of a transaction is of type 2, not of 13"),
        (Multi([Create("/a", b"", OPEN)]), header(5) + STAT, "result 0 of a transaction is of type 5, not of 15"),
        (Multi([Check("/a"), Check("/b")]), header(13) + END, "result 1 of a transaction"),
        (Multi([Check("/a"), Check("/b")]), failed(0) + failed(-2) + END, "no operation to blame"),
        (MultiRead(["/a"]), END + NODE, "a result of type -1 in a bulk read"),
        (MultiRead(["/a"]), header(7) + NODE, "a result of type 7 in a bulk read"),
    ],
    ids=range(13),
)
def test_answers_that_could_be_taken_for_right(request_: Request, answer: bytes, reason: str) -> None:
    """Half a transaction is no transaction: a lease renewed by one would be a lease that nobody granted."""
    with pytest.raises(ValueError, match=reason):
        request_.deserialize(answer, 0)


@pytest.mark.parametrize("size", [1000, 1_000_000])
def test_a_text_that_is_not_utf8_is_not_repeated(size: int) -> None:
    """A UnicodeDecodeError holds all of the bytes, and so would the message made of it."""
    answer = struct.pack(">ii", 1, size) + b"\xff" * size
    with pytest.raises(ValueError, match="not UTF-8") as raised:
        GetChildren("/a").deserialize(answer, 0)
    assert len(repr(raised.value)) < 100
    assert raised.value.__cause__ is None


def test_many_names() -> None:
    """10^5 children take time in proportion."""
    answer = struct.pack(">i", 100_000) + text("0123456789") * 100_000
    with bounded(seconds=5.0, megabytes=40):
        assert len(GetChildren("/a").deserialize(answer, 0)) == 100_000


@examples(300)
@given(st.integers(-(2**31), 2**31 - 1), st.sampled_from([request for request, _ in ANSWERS]))
def test_any_error_code(code: int, request: Request) -> None:
    """kazoo #727: a code that nobody knows. An error of ours, whatever the code."""
    error = error_for_code(code, request, "zk1:2181")
    assert isinstance(error, ZkDiscoveryError)
    check_message(error, 300)
