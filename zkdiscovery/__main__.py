"""`python -m zkdiscovery`: the command, where its script is on no PATH."""

from __future__ import annotations

from zkdiscovery.cli import main

main()
