"""The life of the process: what happens at its end."""

from __future__ import annotations

from zkdiscovery.lifecycle.signals import close_on_signals

__all__ = ["close_on_signals"]
