#!/bin/sh
# scripts/isolated.sh COMMAND...: runs a command, as root, in namespaces of its own for the network, processes and mounts.
# What it starts ends with it, and what container engines leave outside their own directories goes with it. It sees no
# network but a loopback of its own, so that it changes neither the machine's addresses nor its routes or its firewall.
set -eu
if [ "${1:-}" != --inside ]; then
    exec unshare --net --mount --pid --fork --kill-child --mount-proc sh "$0" --inside "$@"
fi
shift
ip link set lo up
made=''
for directory in /run /var/lib /etc/docker /opt/containerd; do
    if [ ! -d "$directory" ]; then
        mkdir -p "$directory"
        made="$made $directory"
    fi
    mount -t tmpfs tmpfs "$directory"
done
status=0
export ZKDISCOVERY_ISOLATED=1 # tests that need all this look for it
"$@" || status=$?
for directory in $made; do umount --lazy "$directory" && rmdir "$directory"; done
exit "$status"
