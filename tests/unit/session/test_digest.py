"""One line for one cause."""

from __future__ import annotations

import logging

import pytest

from zkdiscovery.session import Digest, some_of

log = logging.getLogger("zkdiscovery.tests")


def told(caplog: pytest.LogCaptureFixture, *happened: tuple[str, str]) -> list[str]:
    caplog.clear()
    with Digest(log, logging.WARNING, "left out %s: %s") as digest:
        for path, cause in happened:
            digest.add(path, cause)
    return [record.getMessage() for record in caplog.records]


def test_nothing_is_said_of_nothing(caplog: pytest.LogCaptureFixture) -> None:
    assert told(caplog) == []


def test_causes_that_differ_in_the_path_are_one(caplog: pytest.LogCaptureFixture) -> None:
    assert told(caplog, ("/s/i1", "read /s/i1: no")) == ["left out /s/i1: read /s/i1: no"]
    happened = [(f"/s/i{number}", f"'i{number}' is none: read /s/i{number}: no") for number in range(1, 6)]
    assert told(caplog, *happened, ("/s/i6", "too large")) == [
        "left out /s/i1, /s/i2, /s/i3 and 2 more: 'i1' is none: read /s/i1: no",
        "left out /s/i6: too large",
    ]


def test_many_causes_are_few_lines(caplog: pytest.LogCaptureFixture) -> None:
    lines = told(caplog, *((f"/i{number}", f"{number} bytes") for number in range(1000)))
    assert len(lines) == 5
    assert lines[-1] == "left out /i4, /i5, /i6 and 993 more: 996 different reasons, the first: 4 bytes"


def test_names() -> None:
    assert some_of(["a", "b", "c"]) == "a, b, c"
    assert some_of(str(number) for number in range(9)) == "0, 1, 2 and 6 more"
