"""All discovery of one client: caches shared by their views, and one-off reads."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from functools import partial
from typing import TypedDict

from zkdiscovery.balancing import Balancer, Ejection, Outcome, Pool, resolve_balancer
from zkdiscovery.codecs import MAX_DATA_BYTES, Codec
from zkdiscovery.discovery.cache import ServiceCache
from zkdiscovery.discovery.outcomes import outcome_of
from zkdiscovery.discovery.service import Attachment, Service
from zkdiscovery.errors import AccessDenied, InvalidSettings, NodeError, NodeMissing, UndecodableNode
from zkdiscovery.model import Instance
from zkdiscovery.session import (
    NO_NODE,
    Batch,
    Digest,
    GetChildren,
    Node,
    ReadLimits,
    Session,
    read_batches,
    why_unread,
)
from zkdiscovery.threads import Dispatcher, Worker
from zkdiscovery.validation import check_function, check_number
from zkdiscovery.znodes import Loader, Paths, name_of

log = logging.getLogger("zkdiscovery.discovery")


class Discovery:
    """Caches and reads of one client. `discover` and `close` never block."""

    def __init__(self, session: Session, dispatcher: Dispatcher, paths: Paths, codec: Codec) -> None:
        self.session = session
        self.dispatcher = dispatcher
        self._paths = paths
        self._codec = codec
        self.worker = Worker("zkdiscovery-cache")
        self.loader = Loader(session, self.worker)
        self._lock = threading.Lock()
        self._caches: dict[str, ServiceCache] = {}

    def attach(self, view: Service) -> Attachment:
        """Give a view the cache of its service, made if it is the first.

        Raises:
            NoThreadAvailable: the system has no thread to give; nothing was begun.
        """
        self.worker.start()
        with self._lock:
            cache = self._caches.get(view.name)
            if cache is None:
                path = self._paths.service(view.name)
                guard = self.session.settings.guard
                cache = ServiceCache(self.loader, view.name, path, self._codec, guard)
                self._caches[view.name] = cache
            cache.join(view)
        return Attachment(cache, self.dispatcher, lambda: self._detach(view, cache))

    def _detach(self, view: Service, cache: ServiceCache) -> None:
        """Take the cache away with its last view."""
        with self._lock:
            if not cache.leave(view):
                return
            if self._caches.get(view.name) is cache:
                del self._caches[view.name]
        cache.close()

    def service_names(self, timeout: float) -> list[str]:
        """Names of all services, sorted; one read."""
        try:
            names: list[str] = self.session.read(GetChildren(self._paths.services()), timeout=timeout)
        except NodeMissing:
            return []
        return sorted(names)

    def instances(self, service: str, timeout: float) -> list[Instance]:
        """All instances of a service, sorted by id; what can't be decoded or read is logged and left out."""
        path = self._paths.service(service)

        def once(deadline: float, generation: int) -> list[Instance]:
            try:
                names = self.session.call(GetChildren(path), deadline=deadline, generation=generation)
            except NodeMissing:
                return []
            found = []
            nodes = [f"{path}/{name}" for name in names]
            batch = Batch(nodes, MAX_DATA_BYTES)
            with Digest(log, logging.WARNING, "left out %s: %s") as left_out:
                for node_path, node in read_batches(self.session, [batch], ReadLimits(generation, deadline)):
                    try:
                        if isinstance(node, Node):
                            found.append(self._codec.decode(service, name_of(node_path), node.data))
                        elif node != NO_NODE:
                            raise why_unread(node_path, node, self.session.server)
                    except (UndecodableNode, NodeError, AccessDenied) as error:
                        left_out.add(node_path, str(error), repr(node_path))
            return found

        return sorted(self.session.retry(once, timeout), key=lambda instance: instance.id)

    def close(self, timeout: float) -> bool:
        """End the worker, within `timeout` seconds."""
        return self.worker.close(timeout)


class Preferences(TypedDict, total=False):
    """What `Client.discover` hands on; see there."""

    balancer: str | Balancer
    where: Callable[[Instance], bool] | None
    ejection: Ejection | None
    slow_start: float
    classify: Callable[[BaseException | None], Outcome]


def make_view(
    name: str, zone: str | None, attach: Callable[[Service], Attachment], preferences: Preferences
) -> Service:
    """A view of a service that `attach` ties to its client.

    Raises:
        InvalidSettings: a preference can't be used.
        TypeError: a coroutine or generator function.
    """
    balancer = resolve_balancer(preferences.get("balancer", "p2c_ewma"), zone)
    ejection = preferences.get("ejection", Ejection())
    if not (ejection is None or isinstance(ejection, Ejection)):
        raise InvalidSettings(f"ejection must be an Ejection(…), or None: got {ejection!r:.80}")
    slow_start = preferences.get("slow_start", 0.0)
    check_number(slow_start, "slow_start", least=0.0, most=86_400.0)
    where, classify = preferences.get("where"), preferences.get("classify", outcome_of)
    for option, function in (("where", where or bool), ("classify", classify)):
        if not callable(function):
            raise InvalidSettings(f"{option} must be a function: got {function!r:.80}")
        check_function(function, f"`{option}`")
    return Service(
        name,
        partial(Pool, balancer, ejection=ejection, slow_start=slow_start),
        where,
        attach,
        classify,
    )
