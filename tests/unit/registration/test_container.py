"""The container of a process, from what the kernel says in it."""

from __future__ import annotations

import pytest

from zkdiscovery.registration.container import in_container, in_pod
from zkdiscovery.testing import static_client

ID = "3f2a9c01b2d4e5f60718293a4b5c6d7e8f90a1b2c3d4e5f60718293a4b5c6d7e"
UID = "7c2a6d3e-0f5b-4c3a-9b1e-1d2f3a4b5c6d"

DOCKER = f"""\
611 498 0:52 / / rw,relatime master:203 - overlay overlay rw,lowerdir=/var/lib/docker/overlay2/l/AB:/x,upperdir=/y
612 611 0:55 / /proc rw,nosuid,nodev,noexec,relatime - proc proc rw
620 611 254:1 /var/lib/docker/containers/{ID}/resolv.conf /etc/resolv.conf rw,relatime - ext4 /dev/vda1 rw
621 611 254:1 /var/lib/docker/containers/{ID}/hostname /etc/hostname rw,relatime - ext4 /dev/vda1 rw
622 611 254:1 /var/lib/docker/containers/{ID}/hosts /etc/hosts rw,relatime - ext4 /dev/vda1 rw
"""
PODMAN = f"""\
900 880 0:40 /containers/storage/overlay-containers/{ID}/userdata/hostname /etc/hostname rw - tmpfs tmpfs rw
"""
POD = f"""\
741 611 0:52 / / rw,relatime - overlay overlay rw
750 741 8:1 /var/lib/kubelet/pods/{UID}/etc-hosts /etc/hosts rw,relatime - ext4 /dev/sda1 rw
751 741 8:1 /var/lib/kubelet/pods/{UID}/containers/app/9f3e /dev/termination-log rw,relatime - ext4 /dev/sda1 rw
752 741 8:1 /var/lib/containerd/io.containerd.grpc.v1.cri/sandboxes/{ID}/hostname /etc/hostname rw - ext4 /dev/sda1 rw
"""
HOST = f"""\
22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
90 22 0:60 / /var/lib/docker/containers/{ID}/mounts/shm rw,nosuid - tmpfs shm rw
91 22 0:61 / /var/lib/kubelet/pods/{UID}/volumes/kubernetes.io~projected/token rw - tmpfs tmpfs rw
92 22 8:1 /var/lib/kubelet/pods/{UID}/containers/app/9f3e /var/lib/kubelet/pods/{UID}/containers/app/9f3e rw - ext4 x rw
"""


def test_a_container_of_an_engine() -> None:
    assert in_pod(DOCKER, {}) is None
    assert in_container(DOCKER, "0::/\n") == ID
    assert in_container(PODMAN, "") == ID


def test_a_container_that_only_its_cgroup_tells() -> None:
    assert in_container("", f"12:pids:/docker/{ID}\n0::/docker/{ID}\n") == ID
    assert in_container("", f"0::/system.slice/docker-{ID}.scope\n") == ID
    assert in_container("", f"0::/machine.slice/libpod-{ID}.scope\n") == ID
    assert in_container("", f"0::/of-the-operator/{ID}\n") == ID


def test_a_container_that_shares_the_network_of_another_one_has_its_files() -> None:
    own = ID[::-1]
    assert in_container(DOCKER, f"12:pids:/docker/{own}\n") == own


def test_a_container_of_a_pod_is_named_by_the_pod() -> None:
    assert in_pod(POD, {}) == f"{UID}/app"
    assert in_pod(POD, {"POD_UID": "another", "CONTAINER_NAME": "another"}) == f"{UID}/app"


def test_the_downward_api_says_what_the_kernel_does_not() -> None:
    custom = POD.replace(f"/var/lib/kubelet/pods/{UID}/containers/app/9f3e", "/logs")
    assert in_pod(custom, {}) == UID
    assert in_pod(custom, {"CONTAINER_NAME": "app"}) == f"{UID}/app"
    assert in_pod("", {"POD_UID": UID, "CONTAINER_NAME": "app"}) == f"{UID}/app"
    assert in_pod("", {"POD_UID": ""}) is None


def test_the_host_itself_is_no_container() -> None:
    assert in_pod(HOST, {}) is None
    assert in_container(HOST, "0::/user.slice/user-0.slice\n") is None
    assert in_container("", "") is None
    assert in_container("nonsense\n\n", "nonsense") is None


def test_a_registration_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zkdiscovery.registration.registrar.runtime", lambda: ID)
    with static_client() as client:
        assert client.register("web", 8080).instance.runtime == ID
