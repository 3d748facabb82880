"""Members that are processes of the operating system."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.integration.shards.history import Held, read_history
from tests.support import LIMIT, wait_until
from tests.talking import TalkingProcess

T = 4.0  # seconds, the session timeout that is asked for


class MemberProcess(TalkingProcess):
    """One member; see member_process.py."""

    def __init__(self, hosts: str, namespace: str, count: int, history: Path, how: str, timeout: float = T) -> None:
        program = Path(__file__).with_name("member_process.py")
        super().__init__(str(program), hosts, namespace, str(count), str(history), how, str(timeout))

    @property
    def held(self) -> set[int]:
        """The shards that it has said it holds."""
        said = self.said.items
        return set(said[-1]["held"]) if said else set()

    def wait_held(self, predicate: Callable[[set[int]], bool], timeout: float = LIMIT) -> set[int]:
        """Wait until it holds what is wanted."""
        self.said.wait(lambda said: bool(said) and predicate(set(said[-1]["held"])), timeout)
        return self.held

    def finish(self) -> None:
        """Let it close its client, and wait for its end."""
        self.tell()
        super().finish()


class Group:
    """Processes that share out some shards among themselves."""

    def __init__(self, hosts: str, namespace: str, count: int, folder: Path) -> None:
        self.count = count
        self._arguments = hosts, namespace, count, folder / "history"
        self._members: list[MemberProcess] = []

    def start(self, how: str = "threads") -> MemberProcess:
        """Start one more member."""
        member = MemberProcess(*self._arguments, how)
        self._members.append(member)
        return member

    def wait_settled(self, *members: MemberProcess, timeout: float = 2 * LIMIT) -> None:
        """Wait until these hold all shards among them, in even parts."""

        def settled() -> bool:
            sizes = [len(member.held) for member in members]
            together = set().union(*(member.held for member in members))
            return max(sizes) - min(sizes) <= 1 and sum(sizes) == len(together) == self.count

        wait_until(settled, timeout)

    def history(self) -> dict[int, list[Held]]:
        """What they have written."""
        return read_history(self._arguments[3])

    def close(self) -> None:
        """Kill those that still run."""
        for member in self._members:
            member.__exit__()


@contextmanager
def group(hosts: str, namespace: str, count: int, folder: Path) -> Iterator[Group]:
    """A group that is empty at first."""
    made = Group(hosts, namespace, count, folder)
    try:
        yield made
    finally:
        made.close()
