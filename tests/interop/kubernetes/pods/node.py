"""A real Kubernetes with one node, whose kubelet runs real containers, and what people type to steer it.

scripts/isolated.sh starts the tests: the node has its own network, processes and mounts, and nothing of it is left.
"""

from __future__ import annotations

import contextlib
import ipaddress
import subprocess
from pathlib import Path
from typing import Any

from tests.interop.kubernetes.cluster import KUBE, LIMIT, Cluster
from tests.support import wait_until

HERE = Path(__file__).parent
ROOT = HERE.parents[3]
MANIFESTS = ROOT / "examples" / "containers" / "kubernetes"
NAMESPACE = "shop"  # of Kubernetes

_CACHE = KUBE.parent
_IMAGES = ("pause", "zookeeper", "payments", "zkdiscovery")

Pod = dict[str, Any]


class Node(Cluster):
    """A Kubernetes with a node.

    Args:
        state: a folder that does not exist yet; it must not lie in /run or /var/lib.
    """

    def __init__(self, state: Path) -> None:
        super().__init__(state, NODES="0", SCHEDULER="1")
        archives = [_CACHE / "images" / f"{name}.tar" for name in _IMAGES]
        try:
            _run("sh", HERE / "node_up.sh", state, KUBE, _CACHE / "node", *archives)
            self.kubectl("create", "namespace", NAMESPACE)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """End it with all its containers."""
        _run("sh", HERE / "node_down.sh", self._state)
        super().close()

    def type(self, command: str) -> str:
        """Run a command as people type it, and return what it prints."""
        return self.kubectl("-n", NAMESPACE, *command.split())

    def apply(self, *objects: object) -> None:
        """Make objects, or change them."""
        self.kubectl("-n", NAMESPACE, "apply", "-f", "-", given={"apiVersion": "v1", "kind": "List", "items": objects})

    def pods(self, app: str) -> list[Pod]:
        """The pods that have this label and are not about to end."""
        found = self.get(NAMESPACE, "pods", "-l", f"app={app}")["items"]
        return [pod for pod in found if "deletionTimestamp" not in pod["metadata"]]

    def pod(self, name: str) -> Pod:
        """A pod."""
        found: Pod = self.get(NAMESPACE, "pod", name)
        return found

    def wait_pod(self, name: str) -> Pod:
        """Wait until a pod is ready."""
        self.type(f"wait --for=condition=Ready pod/{name} --timeout={LIMIT - 10}s")
        return self.pod(name)

    def wait_rolled(self, what: str) -> None:
        """Wait until a roll-out is over."""
        self.type(f"rollout status {what} --timeout={LIMIT - 10}s")

    def remove(self, what: str) -> None:
        """Delete objects, and wait until they are gone."""
        self.type(f"delete {what} --ignore-not-found --timeout={LIMIT - 10}s")

    # -- what happens on the node --

    def process(self, pod: Pod, container: str = "payments") -> int:
        """The first process of a container."""
        (status,) = (each for each in pod["status"]["containerStatuses"] if each["name"] == container)
        identity = status["containerID"].rpartition("://")[2]
        for line in self.ctr("tasks", "list").splitlines():
            found = line.split()
            if found[0] == identity:
                return int(found[1])
        raise LookupError(f"{pod['metadata']['name']} has no process of {container}")

    def program(self, pod: Pod, container: str = "payments", command: str = "python -u payments.py") -> int:
        """The process of a container that runs this command."""
        first = self.process(pod, container)
        for found in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):  # it has ended
                words = (found / "cmdline").read_text().rstrip("\0").split("\0")
                if words == command.split() and _processes(found) == _processes(Path(f"/proc/{first}")):
                    return int(found.name)
        raise LookupError(f"{pod['metadata']['name']} does not run {command}")

    def ctr(self, *arguments: str) -> str:
        """Run a command of containerd's client."""
        return _run(
            _CACHE / "node" / "bin" / "ctr", "-a", self._state / "node" / "containerd.sock", "-n", "k8s.io", *arguments
        )

    def give_next(self, address: str) -> None:
        """Let the next pod have an address, which must be free: addresses are given in turn, after the last one."""
        folder = self._state / "node" / "addresses" / "net"
        wait_until(lambda: not (folder / address).exists(), LIMIT)
        (folder / "last_reserved_ip.0").write_text(str(ipaddress.ip_address(address) - 1))

    def make_volumes(self, count: int) -> None:
        """Make empty volumes of 2 GiB, as an administrator does where there is no StorageClass."""
        for number in range(count):
            path = self._state / "volumes" / str(number)
            path.mkdir(parents=True)
            here = {"key": "kubernetes.io/hostname", "operator": "In", "values": ["node-1"]}
            spec = {
                "capacity": {"storage": "2Gi"},
                "accessModes": ["ReadWriteOnce"],
                "local": {"path": str(path)},
                "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [here]}]}},
            }
            volume = {
                "apiVersion": "v1",
                "kind": "PersistentVolume",
                "metadata": {"name": f"disk-{number}"},
                "spec": spec,
            }
            self.kubectl("apply", "-f", "-", given=volume)


def _processes(process: Path) -> Path:
    """The process namespace of a process."""
    return (process / "ns" / "pid").readlink()


def _run(*command: str | Path) -> str:
    done = subprocess.run(
        [str(word) for word in command],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=LIMIT,
        check=False,
    )
    assert done.returncode == 0, f"{' '.join(map(str, command))}: {done.stdout} {done.stderr}"
    return done.stdout
