"""The nodes of a document.

config/documents/shop/pointer         which revision is in force: the one node that changes
config/documents/shop/revisions/41    one revision: message, author, and the document, or the names of its pieces
config/documents/shop/pieces/<hash>   a piece of a large document, named by its content; revisions share pieces
config/readers/<key>                  one reader: an ephemeral that says which revisions it has, and what it refuses
"""

from __future__ import annotations

from typing import NamedTuple

from zkdiscovery.znodes import Paths


class Layout(NamedTuple):
    """The paths of the nodes of one document.

    Attributes:
        name: of the document.
        root: path above all of them.
    """

    name: str
    root: str

    @property
    def title(self) -> str:
        """Names the document, in messages."""
        return f"the document {self.name!r}"

    @property
    def pointer(self) -> str:
        """The pointer, persistent."""
        return f"{self.root}/pointer"

    @property
    def revisions(self) -> str:
        """Parent of the revisions."""
        return f"{self.root}/revisions"

    @property
    def pieces(self) -> str:
        """Parent of the pieces."""
        return f"{self.root}/pieces"

    def revision(self, number: int) -> str:
        """One revision."""
        return f"{self.revisions}/{number}"

    def piece(self, name: str) -> str:
        """One piece."""
        return f"{self.pieces}/{name}"


def layout_of(paths: Paths, name: str) -> Layout:
    """Return the layout of a document. Raises InvalidName."""
    return Layout(name, paths.document(name))
