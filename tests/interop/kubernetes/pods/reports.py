"""What Kubernetes reports of the containers of pods, and when."""

from __future__ import annotations

import threading
import time
from typing import Any, Self

from kubernetes import client, watch

from tests.interop.kubernetes.pods.node import NAMESPACE, Node
from tests.support import LIMIT, wait_until

_TURN = 5  # seconds that one watch lasts


class Reports:
    """Notes when the API server reports that a container has ended, or is ready, in a `with` block."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._closed = threading.Event()
        self._watching = threading.Event()
        self._ends: dict[tuple[str, str, str], tuple[float, Any]] = {}  # by pod, container and the run's id
        self._ready: dict[str, float] = {}  # by the run's id
        self._thread = threading.Thread(target=self._run)

    def wait_end(self, pod: str, container: str = "payments", timeout: float = 3 * LIMIT) -> tuple[float, Any]:
        """Wait for the end of a container's run. Return when it was reported, in monotonic seconds, and as what."""
        found: list[tuple[float, Any]] = []

        def reported() -> list[tuple[float, Any]]:
            found[:] = [end for (owner, name, _), end in list(self._ends.items()) if (owner, name) == (pod, container)]
            return found

        wait_until(reported, timeout)
        return found[-1]

    def wait_ready(self, run: str, timeout: float = 3 * LIMIT) -> float:
        """Wait until a run of a container is ready. Return when that was reported first, in monotonic seconds."""
        wait_until(lambda: run in self._ready, timeout)
        return self._ready[run]

    def _run(self) -> None:
        core = client.CoreV1Api(self._node.api)
        version = core.list_namespaced_pod(NAMESPACE, limit=1).metadata.resource_version
        self._watching.set()
        while not self._closed.is_set():
            stream = watch.Watch()
            for event in stream.stream(
                core.list_namespaced_pod, NAMESPACE, resource_version=version, timeout_seconds=_TURN
            ):
                self._note(event["raw_object"])
                version = event["raw_object"]["metadata"]["resourceVersion"]

    def _note(self, pod: dict[str, Any]) -> None:
        now = time.monotonic()
        for status in pod.get("status", {}).get("containerStatuses") or ():
            if status["ready"]:
                self._ready.setdefault(status["containerID"], now)
            for state in (status.get("state") or {}, status.get("lastState") or {}):
                if ended := state.get("terminated"):
                    run = pod["metadata"]["name"], status["name"], ended.get("containerID", "")
                    self._ends.setdefault(run, (now, ended))

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._watching.wait(LIMIT)
        return self

    def __exit__(self, *exc: object) -> None:
        self._closed.set()
        self._thread.join(2 * LIMIT)
