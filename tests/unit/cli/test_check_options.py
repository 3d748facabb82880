"""The options of health checks."""

from __future__ import annotations

from zkdiscovery import CommandCheck, HttpCheck, TcpCheck
from zkdiscovery.cli.check_options import parse_checks


def test_the_options_are_those_of_all_checks() -> None:
    expected = [TcpCheck(interval=2.0, failure_threshold=5), HttpCheck("/a", interval=2.0, failure_threshold=5)]
    assert parse_checks(["tcp", "http:/a"], interval=2.0, timeout=None, failure_threshold=5) == expected


def test_what_is_not_given_is_up_to_the_check() -> None:
    assert parse_checks(["command:true"], timeout=None) == [CommandCheck(["true"])]
    assert parse_checks([]) == []
