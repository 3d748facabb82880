"""The id of a registry: what tells the services of one namespace of one ensemble from all others.

Bridges mark with it what they export. The servers' names would not do, because each client may list others.
"""

from __future__ import annotations

import secrets
import time

from zkdiscovery.core import Core
from zkdiscovery.errors import NodeExists, NodeMissing
from zkdiscovery.session import Create, GetData, Node
from zkdiscovery.znodes import make_container, parent_of

_PERSISTENT = 0


def registry_id(core: Core) -> str:
    """Return the id of the namespace: 16 hexadecimal digits. The first one that asks makes it.

    Raises:
        NotConnected: no connection.
        OperationTimeout: no answer in time.
        AccessDenied: no right to read or to create the node.
    """
    session, path = core.session, core.paths.registry()
    generation = session.generation
    deadline = time.monotonic() + session.settings.operation_timeout
    while True:
        try:
            found: Node = session.call(GetData(path), deadline=deadline, generation=generation)
        except NodeMissing:
            try:
                create = Create(path, secrets.token_hex(8).encode(), session.parent_acl, _PERSISTENT)
                session.call(create, deadline=deadline, generation=generation)
            except NodeMissing:
                make_container(session, parent_of(path), generation=generation, deadline=deadline)
            except NodeExists:
                pass  # made by another bridge in the same moment
            continue
        return found.data.decode()
