"""Processes of the operating system that campaign, and what they write to."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.integration.election.helpers import NAME
from tests.talking import TalkingProcess

T = 2.0  # seconds, the session timeout that is asked for


class Process(TalkingProcess):
    """One that campaigns; see leader_process.py. `environment` comes on top of ours."""

    def __init__(
        self, hosts: str, namespace: str, *mode: str, timeout: float = T, environment: Mapping[str, str] | None = None
    ) -> None:
        program = Path(__file__).with_name("leader_process.py")
        super().__init__(str(program), hosts, namespace, NAME, str(timeout), *mode, environment=environment)

    def wait(self, number: int) -> dict[str, Any]:
        """The line number `number`, from 1 on."""
        return self.said.wait(lambda said: len(said) >= number)[number - 1]


class FencedStore:
    """What a leader writes to: refuses a fence smaller than the largest that it has seen."""

    def __init__(self) -> None:
        self.fence = 0
        self.values: list[str] = []

    def write(self, fence: int, value: str) -> bool:
        """Whether it was taken."""
        if fence < self.fence:
            return False
        self.fence = fence
        self.values.append(value)
        return True
