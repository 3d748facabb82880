"""A document as environment variables."""

from __future__ import annotations

from typing import Any

import pytest

from zkdiscovery.sidecar.variables import is_name, variables_of


@pytest.mark.parametrize(
    ("document", "variables"),
    [
        ({}, {}),
        ({"bank": {"timeout": 3, "url": "https://bank"}}, {"BANK_TIMEOUT": "3", "BANK_URL": "https://bank"}),
        ({"a": True, "b": 1.5, "c": ["ä", 1], "d": 1.0}, {"A": "true", "B": "1.5", "C": '["ä", 1]', "D": "1.0"}),
        ({"a": None, "b": {}, "c": "", "d": []}, {"C": "", "D": "[]"}),
        ({"pool-size": 1, "a.b": 2, "grün": 3}, {"POOL_SIZE": "1", "A_B": "2", "GR_N": "3"}),
        ({"a": "x=y\nz"}, {"A": "x=y\nz"}),
        ({"_1": 1}, {"_1": "1"}),
    ],
)
def test_what_a_document_becomes(document: dict[str, Any], variables: dict[str, str]) -> None:
    assert variables_of(document) == variables
    assert variables_of(document, "app_") == {f"app_{name}": text for name, text in variables.items()}


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        ({"1st": "secret"}, "'1st' is no name for a variable"),
        ({"": "secret"}, "'' is no name for a variable"),
        ({"a-b": "secret", "a": {"b": "secret"}}, "'a-b' and 'a.b' are the same variable, A_B"),
        ({"a": {"b": "secret\0"}}, "'a.b' has a NUL character"),
        ({"a": "secret" * 30_000}, "the variable A has 180002 bytes, the limit is 131071"),
        (dict.fromkeys("abcde", "secret" * 20_000), "all variables together have 600015 bytes, the limit is 524288"),
    ],
)  # fmt: skip
def test_what_is_refused(document: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValueError, match="variable") as caught:
        variables_of(document)
    assert reason in str(caught.value)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(("name", "good"), [("APP_", True), ("a1", True), ("", False), ("1", False), ("A-B", False)])
def test_names(name: str, good: bool) -> None:
    assert is_name(name) is good
