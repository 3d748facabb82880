"""The container that this process runs in, as engines and Kubernetes name it.

A registration says so, and a bridge deletes it when the engine or Kubernetes reports that this container has ended:
see `zkdiscovery.bridges`. The same id is never given to another container. A pod's containers are named by the pod's
UID and their own name, because a container that is started again in its pod has another id.

The kernel tells it: a control group bears the id of its container, and engines bind files into the container from
directories that bear it. The control group comes first, because a container that shares the network of another one gets
the files of that one; but in a namespace of control groups it can't be seen. Where neither tells, the variables POD_UID
and CONTAINER_NAME can, from Kubernetes' downward API.
"""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Mapping
from pathlib import Path

_PROC = Path("/proc/self")

# Root and place of a mount: `…/pods/UID/containers/NAME/HASH` at `/dev/termination-log`, and
# `…/containers/ID/hostname` at `/etc/hostname`. On the host itself such files are not mounted at such places.
_POD = re.compile(r"/pods/(?P<uid>[0-9a-f-]{32,36})/containers/(?P<name>[^/]+)/[^/]+")
_POD_FILE = re.compile(r"/pods/(?P<uid>[0-9a-f-]{32,36})/etc-hosts")
_CONTAINER = re.compile(r"containers/(?P<id>[0-9a-f]{64})/(?:userdata/)?(?:hostname|hosts|resolv\.conf)")
_PLACES = frozenset({"/etc/hostname", "/etc/hosts", "/etc/resolv.conf"})
_CGROUP = re.compile(r"(?:/|/docker-|/libpod-)(?P<id>[0-9a-f]{64})(?:\.scope)?$", re.MULTILINE)


@functools.cache
def runtime() -> str | None:
    """Return the id of the container that this process runs in, `POD-UID/CONTAINER-NAME` in a pod; None: in none."""
    return in_pod(_read("mountinfo"), os.environ) or in_container(_read("mountinfo"), _read("cgroup"))


def in_pod(mountinfo: str, environment: Mapping[str, str]) -> str | None:
    """Return the pod and the container in it; the pod alone if the name of the container is not known."""
    mounts = _mounts(mountinfo)
    for root, place in mounts:
        if (match := _POD.search(root)) and not _POD.search(place):
            return f"{match['uid']}/{match['name']}"
    uid = next((match["uid"] for root, place in mounts if place in _PLACES and (match := _POD_FILE.search(root))), None)
    uid = uid or environment.get("POD_UID") or None
    name = environment.get("CONTAINER_NAME")
    return f"{uid}/{name}" if uid and name else uid


def in_container(mountinfo: str, cgroup: str) -> str | None:
    """Return the id of a container of Docker or Podman."""
    if found := _CGROUP.search(cgroup):
        return found["id"]
    for root, place in _mounts(mountinfo):
        if place in _PLACES and (match := _CONTAINER.search(root)):
            return match["id"]
    return None


def _mounts(mountinfo: str) -> list[tuple[str, str]]:
    """The root of each mount within its file system, and the place where it is mounted."""
    fields = (line.split() for line in mountinfo.splitlines())
    return [(each[3], each[4]) for each in fields if len(each) > 4]


def _read(name: str) -> str:
    try:
        return (_PROC / name).read_text(errors="replace")
    except OSError:  # no Linux
        return ""
