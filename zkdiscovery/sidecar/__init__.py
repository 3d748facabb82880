"""Programs in any language: registered, or configured, by a process that runs them."""

from __future__ import annotations

from zkdiscovery.sidecar.configured import ConfiguredCommand
from zkdiscovery.sidecar.ready_file import ReadyFile
from zkdiscovery.sidecar.registered import VARIABLES, run_registered

__all__ = ["VARIABLES", "ConfiguredCommand", "ReadyFile", "run_registered"]
