"""A real Kubernetes for tests: API server, controllers and scheduler; kwok plays nodes and the lives of pods."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from kubernetes import client, config

HERE = Path(__file__).parent
KUBE = HERE.parents[2] / ".cache" / "kubernetes" / "kube"
LIMIT = 300  # seconds for a start or one command, on a busy machine


class Cluster:
    """A Kubernetes whose processes and files lie below one folder.

    Args:
        state: a folder that does not exist yet.
        environment: of up.sh.

    Attributes:
        kubeconfig: of an administrator.
        viewer: kubeconfig of a user without rights.
        api: the official client.
    """

    def __init__(self, state: Path, **environment: str) -> None:
        if not KUBE.exists():
            raise FileNotFoundError(f"{KUBE} is not there: build it with scripts/build_kubernetes.sh")
        self._state = state
        self._started: list[subprocess.Popen[bytes]] = []  # API servers that were started again
        self._environment = {**os.environ, "KUBECACHEDIR": str(state / "cache"), **environment}
        _run(["sh", str(HERE / "up.sh"), str(state), str(KUBE)], self._environment)
        self.kubeconfig = state / "kubeconfig"
        self.viewer = self.kubeconfig_of((state / "viewer-token").read_text().strip(), state / "viewer-kubeconfig")
        self.api = config.new_client_from_config(str(self.kubeconfig))
        self.core, self.apps = client.CoreV1Api(self.api), client.AppsV1Api(self.api)

    def kubectl(self, *arguments: str, given: object = None) -> str:
        """Run kubectl; `given` is its input, as JSON. Return what it prints."""
        command = [str(KUBE), "kubectl", "--kubeconfig", str(self.kubeconfig), *arguments]
        return _run(command, self._environment, None if given is None else json.dumps(given))

    def get(self, namespace: str, kind: str, *arguments: str) -> Any:
        """What kubectl tells of objects, as JSON."""
        return json.loads(self.kubectl("-n", namespace, "get", kind, *arguments, "-o", "json"))

    def use(self, monkeypatch: pytest.MonkeyPatch, kubeconfig: Path | None = None) -> None:
        """Let this process use a kubeconfig. The client reads the environment only when it is imported."""
        for module in ("kubernetes.config", "kubernetes.config.kube_config"):
            monkeypatch.setattr(f"{module}.KUBE_CONFIG_DEFAULT_LOCATION", str(kubeconfig or self.kubeconfig))

    @contextlib.contextmanager
    def namespace(self) -> Iterator[str]:
        """A namespace for the time of the block."""
        name = f"test-{secrets.token_hex(3)}"
        self.kubectl("create", "namespace", name)
        try:
            yield name
        finally:
            self.kubectl("delete", "namespace", name, "--wait=false")

    def kubeconfig_of(self, token: str, path: Path) -> Path:
        """Write the kubeconfig of whoever has this token."""
        admin = (self._state / "token").read_text().strip()
        path.write_text(self.kubeconfig.read_text().replace(admin, token))
        return path

    def pid(self, part: str) -> int:
        """The process of a part, such as `kube-apiserver`."""
        return int((self._state / f"{part}.pid").read_text())

    def kill_api_server(self) -> list[str]:
        """Kill the API server, as a crash would. Return the command that started it."""
        pid = self.pid("kube-apiserver")
        command = Path(f"/proc/{pid}/cmdline").read_text().rstrip("\0").split("\0")
        os.kill(pid, signal.SIGKILL)
        while os.path.exists(f"/proc/{pid}/exe"):  # noqa: PTH110 - a zombie's link can't be followed
            time.sleep(0.02)
        return command

    def start_api_server(self, command: list[str]) -> None:
        """Start the API server again, and wait until it is ready."""
        with (self._state / "kube-apiserver.log").open("ab") as log:
            started = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=self._environment, start_new_session=True
            )
        self._started.append(started)
        (self._state / "kube-apiserver.pid").write_text(str(started.pid))
        end = time.monotonic() + LIMIT
        while True:
            with contextlib.suppress(subprocess.CalledProcessError):
                self.kubectl("get", "--raw", "/readyz")
                return
            assert time.monotonic() < end, "the API server does not start again"

    def close(self) -> None:
        """End it. Nothing is left."""
        self.api.close()
        _run(["sh", str(HERE / "down.sh"), str(self._state)], self._environment)
        for started in self._started:
            started.wait(LIMIT)


def workload(name: str, replicas: int = 3, **annotations: str) -> dict[str, Any]:
    """A Deployment, whose pods have these annotations, and its Service, with two ports."""
    labels = {"app": name, "app.kubernetes.io/version": "1.2"}
    container = {"name": "main", "image": "example.org/web:1", "ports": [{"containerPort": 8080, "name": "http"}]}
    pod = {"metadata": {"labels": labels, "annotations": annotations}, "spec": {"containers": [container]}}
    spec = {"replicas": replicas, "selector": {"matchLabels": {"app": name}}, "template": pod}
    ports = [{"name": "http", "port": 80, "targetPort": "http"}, {"name": "metrics", "port": 9100}]
    return {
        "apiVersion": "v1",
        "kind": "List",
        "items": [
            {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name}, "spec": spec},
            {
                "apiVersion": "v1",
                "kind": "Service",
                "metadata": {"name": name},
                "spec": {"selector": {"app": name}, "ports": ports},
            },
        ],
    }


def _run(command: list[str], environment: dict[str, str], given: str | None = None) -> str:
    done = subprocess.run(
        command, env=environment, input=given, capture_output=True, text=True, timeout=LIMIT, check=False
    )
    if done.returncode:
        error = subprocess.CalledProcessError(done.returncode, command, done.stdout, done.stderr)
        error.add_note(done.stderr)
        raise error
    return done.stdout
