"""This machine, and the ids that are made of it.

A default id is `HOSTNAME@HOST:PORT`. The host name tells apart machines whose addresses are private to each of them, as
those of Docker's bridges are. Host names may repeat too, so an entry with a default id also records its machine.
"""

from __future__ import annotations

import ctypes
import functools
import socket
import sys
from pathlib import Path

from zkdiscovery.model import Instance
from zkdiscovery.validation import join_host_port

UNKNOWN = "unknown"

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


def default_id(host: str, port: int) -> str:
    """The id of what this machine serves there."""
    return f"{socket.gethostname()}@{join_host_port(host, port)}"


@functools.cache
def machine() -> str:
    """Return what all processes of this machine, in whichever container, have in common until it boots again.

    "unknown" where the system does not tell; that is the same machine as no other.
    """
    try:
        return _boot_session() if sys.platform == "darwin" else _BOOT_ID.read_text().strip()
    except OSError:
        return UNKNOWN


def _boot_session() -> str:
    """The boot id of macOS."""
    text = ctypes.create_string_buffer(64)
    size = ctypes.c_size_t(len(text))
    library = ctypes.CDLL(None, use_errno=True)
    if library.sysctlbyname(b"kern.bootsessionuuid", text, ctypes.byref(size), None, 0) != 0:
        raise OSError(ctypes.get_errno(), "sysctlbyname failed")
    return text.value.decode()


def is_of_this_machine(entry: Instance) -> bool:
    """Was an entry with a default id made on this machine, since it was booted?"""
    return entry.machine == machine() and entry.machine != UNKNOWN


def other_machine(found: Instance, own: Instance) -> str | None:
    """Return whose entry with a default id was found in place of our own, in words, if it is another machine's."""
    if found.machine is None or is_of_this_machine(found):
        return None
    return (
        f"at {found.netloc} of the machine with the boot id {found.machine}, while this is {own.netloc}"
        f" of the machine {machine()}: two machines have one host name; give one of them another name, or an id"
    )
