"""What is known of the place of an instance: address, port and id."""

from __future__ import annotations

from typing import NamedTuple

from zkdiscovery.registration.address import Given


class Place(NamedTuple):
    """The part of the address and the id of an instance that is known.

    Attributes:
        given: what was said about the address.
        default_id: the id was not given.
        known: host and id are final; the port is known.
        port_known: the port is known.
        listen_port: where the program listens, if that was said.
    """

    given: Given
    default_id: bool
    known: bool
    port_known: bool
    listen_port: int | None
