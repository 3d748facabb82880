"""The clock of leases: seconds that go on while the machine sleeps."""

from __future__ import annotations

import time

# time.monotonic() stops while the machine is suspended, and the server's clock does not. A lease must not outlive its
# session because a laptop or a virtual machine slept. CLOCK_BOOTTIME on Linux and CLOCK_MONOTONIC on macOS count the
# sleep.
_CLOCK: int = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def lease_now() -> float:
    """Seconds since an arbitrary start, time asleep included."""
    return time.clock_gettime(_CLOCK)
