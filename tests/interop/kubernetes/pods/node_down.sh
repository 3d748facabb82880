#!/bin/sh
# node_down.sh STATE: ends what node_up.sh started, and all containers. Nothing is waited for that they could still do.
set -u
state=$1/node
for name in kubelet coredns containerd; do
    pid=$(cat "$state/$name.pid" 2>/dev/null) || continue # it was not started
    kill -9 "$pid" 2>/dev/null
    while [ -e "/proc/$pid/exe" ]; do sleep 0.05; done # not `kill -0`: it finds zombies too
done
group=$(cat "$state/group" 2>/dev/null) || exit 0
groups() { find /sys/fs/cgroup -depth -type d -path "*/$group*" 2>/dev/null; }
left=100
while [ -n "$(groups)" ] && [ "$left" -gt 0 ]; do
    groups | while read -r each; do
        xargs -r kill -9 <"$each/cgroup.procs" 2>/dev/null
        rmdir "$each" 2>/dev/null
    done
    sleep 0.1
    left=$((left - 1))
done
awk -v inside="$state/" 'index($2, inside) == 1 { print $2 }' /proc/mounts | sort -r | xargs -r umount --lazy
