#!/bin/sh
# scripts/get_containerd.sh: gets from Debian's archive what a node of Kubernetes needs beside the kubelet, without
# installing it, into .cache/kubernetes/node: containerd, ctr and runc, the plugins of its network, and a static busybox
# for images. Quick when it is there.
#
# containerd is of Debian's suite sid. On Debian itself the rest is of the machine's own suite, because sid's needs a newer
# C library.
set -eu
cd "$(dirname "$0")/.."

say() { printf '==> %s\n' "$*" >&2; }
fail() { printf 'error: %s\n' "$*" >&2; exit 1; }

node=.cache/kubernetes/node
command -v ip >/dev/null || sh scripts/apt_install.sh iproute2 >&2 # for the node's network
if [ -x "$node/bin/containerd" ]; then exit 0; fi
mkdir -p .cache/kubernetes
work=$(mktemp -d .cache/kubernetes/.getting.XXXXXX)
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM

say "Getting containerd from Debian's archive"
. /etc/os-release
own=''
[ "${ID:-}" != debian ] || own=/$VERSION_CODENAME
sh scripts/unpack_packages.sh "$work/root" containerd/sid "runc$own" "containernetworking-plugins$own" "busybox-static$own"

mkdir -p "$work/node/bin" "$work/node/cni"
for program in containerd containerd-shim-runc-v2 ctr runc busybox; do
    find "$work/root" -type f -name "$program" -perm -u+x -exec cp {} "$work/node/bin/" \;
done
for plugin in bridge host-local loopback; do
    find "$work/root" -type f -path '*/cni/*' -name "$plugin" -exec cp {} "$work/node/cni/" \;
done
"$work/node/bin/containerd" --version >&2 || fail "the containerd of Debian's suite sid does not run here"
rm -rf "$node"
mv "$work/node" "$node"
