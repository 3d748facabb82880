"""`python -m zkdiscovery.demo`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from zkdiscovery.demo import main

if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m zkdiscovery.demo", description="See zkdiscovery at work.")
    parser.add_argument("--source", default="auto", choices=["auto", "hosts", "container", "local"])
    parser.add_argument("--svg", type=Path, help=argparse.SUPPRESS)
    sys.exit(main(**vars(parser.parse_args())))
