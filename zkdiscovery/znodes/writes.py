"""The writes that make one owned node as it is wanted.

Writes and deletions name the version that they saw, because ZooKeeper knows no other condition. A new node starts from
version 0. Between a replacement and the news of it, they could hit the successor's node. So a successor raises the
version of its node above that of the one replaced, in the transaction that creates it. Two cases remain:
- A node with `MOST_RAISED` writes or more is followed by one with version 0, which would have to be written as often in
  that moment.
- A node that an operator deletes, or other software replaces, may be followed by one with version 0. An owner that
  leaves in that moment and never wrote into its own node can delete it; the owner of the deleted node restores it, if
  it uses this package.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

from zkdiscovery.session import EPHEMERAL, AccessEntry, Create, Delete, Node, SetData, Stat, Write
from zkdiscovery.znodes.owned import OwnedNode, OwnedState

MOST_RAISED = 16  # writes that raise the version of a successor's node


def writes_to_hold(
    node: OwnedNode, data: bytes, leaf_acl: Sequence[AccessEntry], session_ids: Collection[int]
) -> list[Write]:
    """Return the writes after which the node holds `data`; none if it does already, or must not be created now.

    Args:
        node: the node.
        data: what it must hold.
        leaf_acl: for a node that has no ACL of its own.
        session_ids: of our sessions so far.
    """
    known, ours = node.known, node.ours
    if ours is not None:
        return [] if ours.data == data else [SetData(node.path, data, ours.stat.version)]
    if node.state is not OwnedState.PENDING:
        return []
    create = Create(node.path, data, node.acl or leaf_acl, EPHEMERAL)
    if known is None:
        return [create]
    owner = known.stat.ephemeral_owner
    return writes_to_replace(create, known.stat, may_be_leaving=owner != 0 and owner not in session_ids)


def writes_to_replace(create: Create, known: Stat, *, may_be_leaving: bool) -> list[Write]:
    """Return the writes that replace a node.

    Args:
        create: creates the successor.
        known: stat of the node that is replaced.
        may_be_leaving: its owner may write or delete it in this moment, by its version alone.
    """
    path, version = create.path, known.version
    writes: list[Write] = [Delete(path, version), create]
    if may_be_leaving and version < MOST_RAISED:
        # Nobody sees the empty data that the transaction begins with.
        writes[1] = replace(create, data=b"")
        writes += [SetData(path, b"", number) for number in range(version)]
        writes.append(SetData(path, create.data, version))
    return writes


def writes_to_delete(path: str, ours: Node, final_data: bytes | None) -> list[Write]:
    """Return the writes that delete our node, after it held `final_data`."""
    version = ours.stat.version
    if final_data is None or final_data == ours.data:
        return [Delete(path, version)]
    return [SetData(path, final_data, version), Delete(path, version + 1)]
