"""What every wire format offers, and the limit that all of them keep."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from zkdiscovery.errors import InvalidInstance, UndecodableNode

if TYPE_CHECKING:
    from zkdiscovery.model import Instance

MAX_DATA_BYTES = 64 * 1024  # bytes in one znode; ZooKeeper itself takes 1 MiB for a whole request


class Codec(Protocol):
    """A wire format. Thread-safe and without state."""

    def encode(self, instance: Instance, previous: bytes | None = None) -> bytes:
        """The bytes to store for an instance.

        Args:
            instance: what to store.
            previous: what the znode holds so far, if it is overwritten: whatever of it an `Instance` can't show
                survives.

        Raises:
            InvalidInstance: the instance can't be stored in this format, or needs more than `MAX_DATA_BYTES`.
        """

    def decode(self, service: str, id: str, data: bytes) -> Instance:
        """The instance that a znode holds.

        Args:
            service: the service's name, from the znode's path.
            id: the instance's id, from the znode's path.
            data: what the znode holds: untrusted, it may be anything.

        Raises:
            UndecodableNode: the bytes are no instance in this format, or more than `MAX_DATA_BYTES`; nothing else is
                ever raised.
        """


def check_encoded(instance: Instance, data: bytes) -> bytes:
    """Return `data` if it is small enough to store, else raise InvalidInstance."""
    if len(data) > MAX_DATA_BYTES:
        raise InvalidInstance(
            f"instance {instance.id!r} of {instance.service!r} needs {len(data)} bytes in ZooKeeper, the limit is"
            f" {MAX_DATA_BYTES}: shorten its metadata, tags or ports"
        )
    return data


def check_size(data: bytes) -> None:
    """Raise UndecodableNode if `data` is too large to be decoded."""
    if len(data) > MAX_DATA_BYTES:
        raise UndecodableNode(f"the znode holds {len(data)} bytes, the limit is {MAX_DATA_BYTES}")
