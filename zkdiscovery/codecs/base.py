"""The interface of codecs, and the limit of size that all codecs keep."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from zkdiscovery.errors import InvalidInstance, UndecodableNode

if TYPE_CHECKING:
    from zkdiscovery.model import Instance

MAX_DATA_BYTES = 64 * 1024  # bytes in one znode; ZooKeeper itself takes 1 MiB for a whole request


class Codec(Protocol):
    """A wire format: turns an instance into the bytes that its znode holds, and back.

    Several threads call it at the same time, and all instances share it. So it keeps no state, but for caches, and it
    neither blocks nor calls the client.
    """

    def encode(self, instance: Instance, previous: bytes | None = None) -> bytes:
        """Return the bytes to store for an instance.

        Called when an instance is registered, updated or overridden; an error reaches the caller of that method. Equal
        instances must give equal bytes, because the SDK writes a znode only if the bytes differ.

        Args:
            instance: what to store, its `override` included.
            previous: what the znode holds if others may have written it, such as the owner of an instance that an
                operator overrides. A codec keeps whatever an `Instance` can't express. None: there is nothing to keep.

        Raises:
            InvalidInstance: this format can't hold the instance.
            InvalidInstance: the instance needs more than 64 KiB.
        """

    def decode(self, service: str, id: str, data: bytes) -> Instance:
        """Return the instance that a znode holds, with this service and this id.

        `decode` of what `encode` gave returns an equal instance. Called on a thread of the client for every znode that
        is new or has changed, so its time counts: with 10,000 instances, 10 µs are a tenth of a second.

        Args:
            service: the service's name, from the znode's path.
            id: the instance's id, from the znode's path.
            data: what the znode holds. It is untrusted, and may be anything.

        Raises:
            UndecodableNode: the bytes hold no instance in this format. The instance is left out of the view, and
                `Snapshot.rejected` has the message.
        """


def check_encoded(instance: Instance, data: bytes) -> bytes:
    """Return `data` if it is small enough to be stored; raise InvalidInstance otherwise."""
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
