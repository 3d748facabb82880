"""Handlers without a server: who is installed, and on which thread."""

from __future__ import annotations

import signal
import threading

import pytest

from tests.support import wait_until
from zkdiscovery import Client, ClientClosed, RegistrationState, close_on_signals
from zkdiscovery.registration import Registrar
from zkdiscovery.testing import static_client


def test_only_the_main_thread_can_install_handlers() -> None:
    errors: list[BaseException] = []

    def install() -> None:
        try:
            close_on_signals(Client())
        except ValueError as error:
            errors.append(error)

    before = signal.getsignal(signal.SIGTERM)
    thread = threading.Thread(target=install)
    thread.start()
    thread.join()
    assert [type(error) for error in errors] == [ValueError]
    assert signal.getsignal(signal.SIGTERM) is before


def test_handlers_that_others_installed_later_are_left_alone() -> None:
    before = signal.getsignal(signal.SIGUSR1)

    def later(*_: object) -> None: ...

    try:
        with close_on_signals(Client(), signals=[signal.SIGUSR1]):
            signal.signal(signal.SIGUSR1, later)
        assert signal.getsignal(signal.SIGUSR1) is later
    finally:
        signal.signal(signal.SIGUSR1, before)


def test_the_handler_of_before_has_its_turn_once() -> None:
    before = signal.getsignal(signal.SIGUSR1)
    turns: list[int] = []
    had_its_turn = threading.Event()

    def earlier(number: int, _frame: object) -> None:
        turns.append(number)
        had_its_turn.set()

    try:
        signal.signal(signal.SIGUSR1, earlier)
        client = Client()
        close_on_signals(client, signals=[signal.SIGUSR1])
        signal.raise_signal(signal.SIGUSR1)
        assert had_its_turn.wait(20.0)
        assert turns == [signal.SIGUSR1]
        assert signal.getsignal(signal.SIGUSR1) is earlier
    finally:
        signal.signal(signal.SIGUSR1, before)
    with pytest.raises(ClientClosed):
        client.register("payments", 8080, host="127.0.0.1")
    client.close()


def test_the_handler_of_before_has_its_turn_once_though_ours_was_taken_away_meanwhile(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("zkdiscovery.lifecycle.signals.TURN", 0.05)
    before = signal.getsignal(signal.SIGUSR1)
    turns: list[int] = []
    had_its_turn = threading.Event()

    def earlier(number: int, _frame: object) -> None:
        turns.append(number)
        had_its_turn.set()

    client = Client()
    try:
        signal.signal(signal.SIGUSR1, earlier)
        with (
            client.slot._lock,
            close_on_signals(client, signals=[signal.SIGUSR1]),
        ):  # so that it can't end before the block
            signal.raise_signal(signal.SIGUSR1)
        wait_until(had_its_turn.is_set)  # one wait may begin just after a signal, and is not interrupted then
        for thread in threading.enumerate():
            if thread.name == "zkdiscovery-closing":
                thread.join(20.0)
                assert not thread.is_alive()
        assert turns == [signal.SIGUSR1]
    finally:
        signal.signal(signal.SIGUSR1, before)
    client.close()


def test_the_handler_takes_no_lock_that_the_thread_it_interrupts_may_hold() -> None:
    """To learn how long closing takes, it asked the registrar, and so waited for its own thread."""
    before = signal.getsignal(signal.SIGUSR1)
    had_its_turn = threading.Event()
    client = static_client()
    registration = client.register("payments", 8080)
    try:
        signal.signal(signal.SIGUSR1, lambda *_: had_its_turn.set())
        with close_on_signals(client, signals=[signal.SIGUSR1]):
            with client.feature(Registrar)._lock:  # as in the midst of `register`
                signal.raise_signal(signal.SIGUSR1)
            assert had_its_turn.wait(20.0)
        assert registration.state is RegistrationState.CLOSED
    finally:
        signal.signal(signal.SIGUSR1, before)
        client.close()


def test_handlers_on_top_that_call_ours() -> None:
    """Ours sent the signal again, so the one on top called it again, without an end."""
    before = signal.getsignal(signal.SIGUSR1)
    had_its_turn = threading.Event()
    client = Client()
    try:
        signal.signal(signal.SIGUSR1, lambda *_: had_its_turn.set())
        ours = close_on_signals(client, signals=[signal.SIGUSR1])
        assert not ours.signalled
        below = signal.getsignal(signal.SIGUSR1)
        assert callable(below)

        def on_top(number: int, frame: object) -> None:
            below(number, frame)  # type: ignore[arg-type]

        signal.signal(signal.SIGUSR1, on_top)
        signal.raise_signal(signal.SIGUSR1)
        assert had_its_turn.wait(20.0)
        assert ours.signalled
    finally:
        signal.signal(signal.SIGUSR1, before)
    client.close()


def test_blocks_that_end_in_another_order_than_they_began() -> None:
    before = signal.getsignal(signal.SIGUSR1)
    had_its_turn = threading.Event()
    first, second = Client(), Client()
    try:
        signal.signal(signal.SIGUSR1, lambda *_: had_its_turn.set())
        outer = close_on_signals(first, signals=[signal.SIGUSR1])
        close_on_signals(second, signals=[signal.SIGUSR1])
        outer.restore()
        signal.raise_signal(signal.SIGUSR1)
        assert had_its_turn.wait(20.0)
    finally:
        signal.signal(signal.SIGUSR1, before)
    with pytest.raises(ClientClosed):
        second.register("payments", 8080, host="127.0.0.1")
    first.register("payments", 8080, host="127.0.0.1")
    first.close(0.1)
    second.close()
