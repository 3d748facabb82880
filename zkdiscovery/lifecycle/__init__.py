"""The life of the process: signals, the interpreter's end, forks; and how clients end."""

from __future__ import annotations

from zkdiscovery.lifecycle.budget import leaving
from zkdiscovery.lifecycle.closing import take_all, within
from zkdiscovery.lifecycle.ending import (
    DEFAULT,
    Default,
    Ending,
    Level,
    delays_until,
    end,
    end_client,
    time_for,
)
from zkdiscovery.lifecycle.identity import MAX_ID, default_id
from zkdiscovery.lifecycle.private_file import PrivateFile
from zkdiscovery.lifecycle.process import inhabit
from zkdiscovery.lifecycle.signals import DEFAULT_HANDLERS, SIGNALS, close_on_signals
from zkdiscovery.lifecycle.turns import await_signals, signals_pending

__all__ = [
    "DEFAULT",
    "DEFAULT_HANDLERS",
    "MAX_ID",
    "SIGNALS",
    "Default",
    "Ending",
    "Level",
    "PrivateFile",
    "await_signals",
    "close_on_signals",
    "default_id",
    "delays_until",
    "end",
    "end_client",
    "inhabit",
    "leaving",
    "signals_pending",
    "take_all",
    "time_for",
    "within",
]
