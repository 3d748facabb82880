"""The node of an instance that several processes share, and what it asks of its owner."""

from __future__ import annotations

from typing import Protocol

from zkdiscovery.znodes import OwnedNode, OwnedState


class SharingOwner(Protocol):
    """The owned instance, as its share uses it."""

    @property
    def sharer(self) -> tuple[str, bool]:
        """The address that it advertises, and whether its process serves."""

    def adopt(self, data: bytes) -> None:
        """Take over what belongs to the registration and to none of its processes (worker)."""


class SharedNode(OwnedNode):
    """The node of an instance that several processes share.

    Attributes:
        owner: whose node it is.
        leaving: it is to be given to another sharer, or to go.
        looked_in: id of the session in which its state was found.
    """

    owner: SharingOwner
    leaving = False
    looked_in = 0

    @property
    def settled(self) -> bool:
        if self.state is OwnedState.RELEASED:
            return self.leaving
        if self.state is OwnedState.STANDBY and not self.leaving:
            return self._present_session_id is None or self.looked_in == self._present_session_id()
        return super().settled

    def begin_release(self, data: bytes) -> None:
        self.leaving = True
        self.write(data)

    def release(self, final_data: bytes | None = None) -> None:
        self.leaving = True
        super().release(final_data)
