"""Programs in any language, registered by a process that runs them."""

from __future__ import annotations

from zkdiscovery.sidecar.ready_file import ReadyFile
from zkdiscovery.sidecar.registered import VARIABLES, run_registered

__all__ = ["VARIABLES", "ReadyFile", "run_registered"]
