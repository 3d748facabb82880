"""Kubernetes as the source of a bridge: Services, EndpointSlices and pods become instances.

Threads: one for each of the three kinds of objects, see `watched.py`; the bridge's thread calls the rest.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence

from zkdiscovery.bridges.kubernetes.api import Api, Kind
from zkdiscovery.bridges.kubernetes.export import Exports
from zkdiscovery.bridges.kubernetes.listing import Instances
from zkdiscovery.bridges.kubernetes.objects import Pod, Service, Slice
from zkdiscovery.bridges.kubernetes.watched import Watched
from zkdiscovery.bridges.source import Death, Listing
from zkdiscovery.model import Instance

PODS = Kind("", "pods", ("list", "watch"))
SERVICES = Kind("", "services", ("list", "watch"))
SLICES = Kind("discovery.k8s.io", "endpointslices", ("list", "watch"))
NAMESPACES = Kind("", "namespaces", ("get",))

SUBSCRIBE_LIMIT = 10.0  # seconds to list and watch
STEP_LIMIT = 2.0  # seconds that `list` waits for a stream that is being restored
REMEMBERED = 300.0  # seconds for which pods that were deleted are reported
_MOST_REMEMBERED = 10_000  # pods


class KubernetesSource:
    """The pods behind the Services of one namespace, or of all.

    Args:
        namespace: to follow and to export to; None: that of the context, or of the pod that this process runs in.
        all_namespaces: follow all of them; the name of a service is then `SERVICE.NAMESPACE`.
        context: of kubeconfig; None: the current one.

    Raises:
        InvalidSettings: there is no configuration of Kubernetes, or it can't be used.
    """

    kind = "kubernetes"
    clustered = True
    relist = 60.0

    def __init__(
        self, namespace: str | None = None, *, all_namespaces: bool = False, context: str | None = None
    ) -> None:
        self._api = Api(context)
        self._namespace = namespace or self._api.namespace
        self._instances = Instances(qualified=all_namespaces)
        self._all = all_namespaces
        scope = None if all_namespaces else self._namespace
        self.where = f"{self._api.where} ({'all namespaces' if all_namespaces else f'namespace {scope}'})"
        self._tell: Callable[[], None] = _tell_nobody
        self._gone: OrderedDict[str, float] = OrderedDict()  # pods that were deleted, and when
        self._gone_lock = threading.Lock()
        self._pods = Watched(self._api, PODS, scope, Pod.parse, self._changed, self._forget)
        self._services = Watched(self._api, SERVICES, scope, Service.parse, self._changed)
        self._slices = Watched(self._api, SLICES, scope, Slice.parse, self._changed)

    def identity(self) -> str:
        """Return the UID of the namespace kube-system, which every cluster has, and the namespace if one is followed.

        Bridges of two namespaces are two sources: neither knows what the other one has to write.
        """
        uid = str(self._api.call("get", NAMESPACES, None, "kube-system")["metadata"]["uid"])
        return uid if self._all else f"{uid}.{self._namespace}"

    def subscribe(self, changed: Callable[[], None]) -> None:
        """Start to follow Services, EndpointSlices and pods, and return once all of it is known."""
        self._tell = changed
        deadline = time.monotonic() + SUBSCRIBE_LIMIT
        for watched in (self._pods, self._services, self._slices):
            watched.start()
        for watched in (self._pods, self._services, self._slices):
            watched.items(deadline)

    def list(self) -> Listing:
        """Return what is there."""
        deadline = time.monotonic() + STEP_LIMIT
        # Pods come last: an endpoint of a pod that was deleted is left out, so it is never shown with its successor.
        services, slices = self._services.items(deadline), self._slices.items(deadline)
        pods = self._pods.items(deadline)
        instances, problems = self._instances.of(services, slices, pods)
        deaths = [death for pod in pods for death in pod.deaths]
        return Listing(instances, problems, [*deaths, *map(Death, self._remembered())])

    def close(self) -> None:
        """End the streams."""
        self._tell = _tell_nobody
        for watched in (self._pods, self._services, self._slices):
            watched.close()

    def _changed(self) -> None:
        self._tell()

    def _forget(self, pod: Pod) -> None:
        with self._gone_lock:
            self._gone[pod.uid] = time.monotonic()
            if len(self._gone) > _MOST_REMEMBERED:
                self._gone.popitem(last=False)

    def _remembered(self) -> Sequence[str]:
        oldest = time.monotonic() - REMEMBERED
        with self._gone_lock:
            while self._gone and next(iter(self._gone.values())) < oldest:
                self._gone.popitem(last=False)
            return tuple(self._gone)


class ExportingKubernetesSource(KubernetesSource):
    """The same, and our services become Services of the namespace.

    Args:
        registry: returns the id of the registry, which marks what is exported.
        namespace, all_namespaces, context: as of `KubernetesSource`.

    Raises:
        InvalidSettings: as `KubernetesSource`.
    """

    def __init__(
        self,
        registry: Callable[[], str],
        namespace: str | None = None,
        *,
        all_namespaces: bool = False,
        context: str | None = None,
    ) -> None:
        super().__init__(namespace, all_namespaces=all_namespaces, context=context)
        self._registry = registry
        self._exports = Exports(self._api, self._namespace)

    def export(self, services: Mapping[str, Sequence[Instance]]) -> Mapping[str, str]:
        """Make exactly these services visible in the namespace."""
        return self._exports.write({name: some for name, some in services.items() if some}, self._registry())


def _tell_nobody() -> None:
    pass
