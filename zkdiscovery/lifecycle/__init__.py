"""The life of the process: signals, the interpreter's end, forks; and how clients end."""

from __future__ import annotations

from typing import TYPE_CHECKING

from zkdiscovery.lazy import lazy
from zkdiscovery.lifecycle.ending import (
    DEFAULT,
    Closable,
    Default,
    Ending,
    Level,
    Limits,
    end,
    leaving,
    time_for,
)
from zkdiscovery.lifecycle.interrupts import interrupts_a_call
from zkdiscovery.lifecycle.process import inhabit
from zkdiscovery.lifecycle.turns import await_signals

if TYPE_CHECKING:
    from zkdiscovery.lifecycle.signals import close_on_signals

__all__ = [
    "DEFAULT",
    "Closable",
    "Default",
    "Ending",
    "Level",
    "Limits",
    "await_signals",
    "close_on_signals",
    "end",
    "inhabit",
    "interrupts_a_call",
    "leaving",
    "time_for",
]

__getattr__, __dir__ = lazy(__name__, {"signals": ("close_on_signals",)})
