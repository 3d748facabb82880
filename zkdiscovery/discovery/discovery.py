"""The discovery of one client: views that share caches, and one-off reads."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable
from functools import partial
from queue import Empty, SimpleQueue
from typing import TypedDict, TypeVar, Unpack

from zkdiscovery.balancing import Balancer, Ejection, Outcome, Pool, resolve_balancer
from zkdiscovery.codecs import MAX_DATA_BYTES
from zkdiscovery.core import Core, CoreSlot, Feature, Phase
from zkdiscovery.discovery.base import BaseService
from zkdiscovery.discovery.cache import ServiceCache
from zkdiscovery.discovery.feed import Feed
from zkdiscovery.discovery.outcomes import outcome_of
from zkdiscovery.discovery.saved import SavedView
from zkdiscovery.errors import AccessDenied, InvalidSettings, NodeError, NodeMissing, UndecodableNode
from zkdiscovery.model import Instance
from zkdiscovery.session import NO_NODE, Batch, Digest, GetChildren, Node, ReadLimits, read_batches, why_unread
from zkdiscovery.validation import check_function, check_number
from zkdiscovery.znodes import name_of

V = TypeVar("V", bound=BaseService)

log = logging.getLogger("zkdiscovery.discovery")


class ViewOptions(TypedDict, total=False):
    """The arguments of `Client.discover` beside the service."""

    balancer: str | Balancer
    where: Callable[[Instance], bool] | None
    ejection: Ejection | None
    slow_start: float
    classify: Callable[[BaseException | None], Outcome]
    fallback: str | os.PathLike[str] | None


class Discovery(Feature):
    """Caches, views and reads of one client. `view` and the steps of closing never block."""

    phase = Phase.VIEWS

    def __init__(self, core: Core) -> None:
        super().__init__(core)
        self._lock = threading.Lock()
        self._feeds: dict[str, Feed] = {}
        self._collected: SimpleQueue[Feed] = SimpleQueue()  # feeds of which a view was collected

    def view(self, service: str, kind: type[V], **options: Unpack[ViewOptions]) -> V:
        """A live view of a service; loaded if this client follows the service already.

        Raises:
            InvalidName: no name for a service.
            InvalidSettings: an option can't be used.
            TypeError: a coroutine or generator function.
            NoThreadAvailable: the system has no thread to give.
            ClientClosed: the client was closed.
        """
        self.core.paths.service(service)
        view = make_view(service, kind, self.core.slot, self.core.settings.zone, options)
        if (fallback := options.get("fallback")) is not None:
            path = self.core.paths.service(service)
            view.start_from(SavedView(fallback, service, path, self.core.codec))
        self.core.slot.add(view)
        try:
            view.revive(self.core)
        except BaseException:
            view.stop_following()
            raise
        return view

    def attach(self, view: BaseService) -> Feed:
        """Let a view follow the feed of its service, made if it is the first.

        Raises:
            NoThreadAvailable: the system has no thread to give; nothing was begun.
            ClientClosed: the client was closed.
        """
        self._drop_unused()
        with self._lock:
            self.require_open()
            feed = self._feeds.get(view.name)
            if feed is None:
                feed = self._feeds[view.name] = self.make_feed(view.name)
            feed.reserve()
        feed.join(view)
        return feed

    def make_feed(self, service: str) -> Feed:
        """Make the feed that views of a service follow; a client without ZooKeeper makes others."""
        return ServiceCache(self.core, service, self._drop, self._collected)

    def _drop_unused(self) -> None:
        """Drop the feeds whose last view was collected."""
        while True:
            try:
                self._drop(self._collected.get_nowait())
            except Empty:
                return

    def _drop(self, feed: Feed) -> None:
        with self._lock:
            if feed.used or self._feeds.get(feed.service) is not feed:
                return
            del self._feeds[feed.service]
        feed.close()

    # -- reading once --

    def service_names(self, timeout: float) -> list[str]:
        """Names of all services, sorted; one read."""
        return self.core.session.children(self.core.paths.services(), timeout=timeout)

    def instances(self, service: str, timeout: float) -> list[Instance]:
        """All instances of a service, sorted by id; what can't be decoded or read is logged and left out."""
        session, codec, path = self.core.session, self.core.codec, self.core.paths.service(service)

        def once(deadline: float, generation: int) -> list[Instance]:
            try:
                names = session.call(GetChildren(path), deadline=deadline, generation=generation)
            except NodeMissing:
                return []
            found = []
            batch = Batch([f"{path}/{name}" for name in names], MAX_DATA_BYTES)
            with Digest(log, logging.WARNING, "left out %s: %s") as left_out:
                for node_path, node in read_batches(session, [batch], ReadLimits(generation, deadline)):
                    try:
                        if isinstance(node, Node):
                            found.append(codec.decode(service, name_of(node_path), node.data))
                        elif node != NO_NODE:
                            raise why_unread(node_path, node, session.server)
                    except (UndecodableNode, NodeError, AccessDenied) as error:
                        left_out.add(node_path, str(error), repr(node_path))
            return found

        return sorted(session.retry(once, timeout), key=lambda instance: instance.id)

    # -- the end --

    def begin_close(self, deadline: float) -> None:  # noqa: ARG002 - it is quick
        for each in self.core.slot.survivors():
            if isinstance(each, BaseService):
                each.stop_following()


def make_view(service: str, kind: type[V], slot: CoreSlot, zone: str | None, options: ViewOptions) -> V:
    """A view that follows nothing yet.

    Raises:
        InvalidSettings: an option can't be used.
        TypeError: a coroutine or generator function.
    """
    balancer = resolve_balancer(options.get("balancer", "p2c_ewma"), zone)
    ejection = options.get("ejection", Ejection())
    if not (ejection is None or isinstance(ejection, Ejection)):
        raise InvalidSettings(f"ejection must be an Ejection(…), or None: got {ejection!r:.80}")
    slow_start = options.get("slow_start", 0.0)
    check_number(slow_start, "slow_start", least=0.0, most=86_400.0)
    where, classify = options.get("where"), options.get("classify", outcome_of)
    for option, function in (("where", where or bool), ("classify", classify)):
        if not callable(function):
            raise InvalidSettings(f"{option} must be a function: got {function!r:.80}")
        check_function(function, f"`{option}`")
    make_pool = partial(Pool, balancer, ejection=ejection, slow_start=slow_start)
    return kind(service, slot, lambda core, view: core.feature(Discovery).attach(view), make_pool, where, classify)
