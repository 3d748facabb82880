"""When the watchdog looks at the link, and when it drops it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from zkdiscovery.session import watchdog
from zkdiscovery.session.states import State
from zkdiscovery.session.watchdog import Watchdog

TIMEOUT = 12.0  # seconds: a third are 4, a twelfth is 1


class Scene:
    """A connected session with a link that does nothing, and a clock that stands still."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        self.due = 0.0
        self.drops: list[float] = []
        self.oldest: float | None = None
        self.channel = SimpleNamespace(oldest_sent=lambda: self.oldest, last_answer=self.now)
        link = SimpleNamespace(channel=self.channel, ping_sent=None, drop=lambda _: self.drops.append(self.now))
        keeper = SimpleNamespace(schedule=self._schedule)
        session: Any = SimpleNamespace(timeout=TIMEOUT, state=State.CONNECTED, link=link, keeper=keeper)
        monkeypatch.setattr(watchdog.time, "monotonic", lambda: self.now)
        self.watchdog = Watchdog(session)
        self.watchdog.connected()

    def _schedule(self, _key: object, _task: object, delay: float) -> None:
        self.due = self.now + delay

    def look(self, late: float = 0.0) -> None:
        """The keeper does what is due."""
        self.now = self.due + late
        self.watchdog._check_link()


@pytest.fixture
def scene(monkeypatch: pytest.MonkeyPatch) -> Scene:
    return Scene(monkeypatch)


def test_an_idle_link_is_looked_at_every_third_of_the_timeout(scene: Scene) -> None:
    for _ in range(10):
        scene.look()
    assert (scene.now, scene.drops) == (1040.0, [])


@pytest.mark.parametrize("sent", [1000.0, 1000.5, 1003.999])
def test_a_silent_link_is_dropped_within_five_twelfths(scene: Scene, sent: float) -> None:
    scene.oldest = sent
    while not scene.drops:
        scene.look()
    assert scene.drops == [pytest.approx(sent + 5.0)]


def test_answers_prove_the_link_for_what_waits_behind_them(scene: Scene) -> None:
    scene.oldest = 1000.0
    for _ in range(5):
        scene.look()
        scene.channel.last_answer = scene.now
    assert scene.drops == []


@pytest.mark.parametrize("begin", [1003.9, 1004.9])
def test_who_did_not_run_gives_the_answers_time_to_be_read(scene: Scene, begin: float) -> None:
    """A pause over the first look, or over the second."""
    scene.oldest = 1000.0
    while scene.due < begin:
        scene.look()
    scene.look(late=3.0)
    assert scene.drops == []
    scene.oldest = None  # the connection thread has run meanwhile
    scene.look()
    assert scene.drops == []
    assert scene.due == scene.now + 4.0


def test_a_link_that_did_not_notice_is_dropped_again(scene: Scene) -> None:
    scene.oldest = 1000.0
    while len(scene.drops) < 2:
        scene.look()
    assert scene.drops == [1005.0, 1006.0]
