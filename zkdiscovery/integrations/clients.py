"""The client that an integration is given: a `Client`, or an asynchronous client around one."""

from __future__ import annotations

from typing import Protocol

from zkdiscovery.client import Client


class HasClient(Protocol):
    """An asynchronous client."""

    @property
    def sync(self) -> Client:
        """The client inside."""


def plain_client(client: Client | HasClient) -> Client:
    """The `Client` that was given, or the one inside an asynchronous client."""
    return client if isinstance(client, Client) else client.sync
