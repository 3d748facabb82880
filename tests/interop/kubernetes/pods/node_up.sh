#!/bin/sh
# node_up.sh STATE KUBE NODE IMAGE...: adds to the Kubernetes that up.sh started in STATE one node that runs real
# containers, and DNS. NODE is what scripts/get_containerd.sh gets; the IMAGEs are archives, one of them localhost/pause:1.
# Runs below scripts/isolated.sh: containerd and the kubelet have fixed places in /run and /var/lib, and addresses.
#
# Pods have addresses in 10.244.0.0/24, reachable from here. Nobody plays kube-proxy, so those of Services don't answer.
set -eu
state=$1/node kube=$2 node=$3
export KUBECONFIG="$1/kubeconfig" KUBECACHEDIR="$1/cache" PATH="$node/bin:$PATH"
shift 3
mkdir "$state"

address=10.88.0.1
ip link add node0 type bridge
ip address add "$address/24" dev node0
ip link set node0 up
ip route add default dev node0

# The kubelet wants these, and would set them for the whole machine: let it find them so, in this mount namespace alone.
for entry in vm/overcommit_memory=1 vm/panic_on_oom=0 kernel/panic=10 kernel/panic_on_oops=1 \
    kernel/keys/root_maxkeys=1000000 kernel/keys/root_maxbytes=25000000; do
    file=$state/sysctl-$(echo "${entry%=*}" | tr / -)
    echo "${entry#*=}" >"$file"
    mount --bind "$file" "/proc/sys/${entry%=*}"
done

mount -t tmpfs tmpfs /var/log # the kubelet leaves links in /var/log/containers

# A kubelet kills what it does not know below its control group, so each has its own.
group=zkdiscovery-$(od -An -N4 -tx4 /dev/urandom | tr -d ' ')
echo "$group" >"$state/group"
for hierarchy in /sys/fs/cgroup $([ -e /sys/fs/cgroup/cgroup.controllers ] || echo /sys/fs/cgroup/*); do
    if [ -e "$hierarchy/cgroup.procs" ]; then mkdir -p "$hierarchy/$group"; fi
done

mkdir "$state/network"
cat >"$state/network/10-net.conflist" <<NETWORK
{"cniVersion": "1.0.0", "name": "net", "plugins": [{"type": "bridge", "bridge": "cni0", "isGateway": true, "ipMasq": false,
 "ipam": {"type": "host-local", "dataDir": "$state/addresses", "ranges": [[{"subnet": "10.244.0.0/24"}]], "routes": [{"dst": "0.0.0.0/0"}]}}]}
NETWORK
cat >"$state/containerd.toml" <<CONTAINERD
version = 3
root = "$state/containerd"
state = "$state/containerd-run"
disabled_plugins = ["io.containerd.nri.v1.nri"]
[grpc]
address = "$state/containerd.sock"
[ttrpc]
address = "$state/containerd.ttrpc.sock"
[plugins.'io.containerd.internal.v1.opt']
path = "$state/opt"
[plugins.'io.containerd.cri.v1.images'.pinned_images]
sandbox = "localhost/pause:1"
[plugins.'io.containerd.cri.v1.runtime']
restrict_oom_score_adj = true
[plugins.'io.containerd.cri.v1.runtime'.cni]
bin_dirs = ["$node/cni"]
conf_dir = "$state/network"
[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"
[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc.options]
SystemdCgroup = false
CONTAINERD
cat >"$state/kubelet.yaml" <<KUBELET
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
failCgroupV1: false
cgroupDriver: cgroupfs
cgroupRoot: /$group
enforceNodeAllocatable: []
protectKernelDefaults: true
address: $address
healthzPort: 0
authentication: {anonymous: {enabled: true}, webhook: {enabled: false}}
authorization: {mode: AlwaysAllow}
clusterDNS: [$address]
clusterDomain: cluster.local
containerRuntimeEndpoint: unix://$state/containerd.sock
failSwapOn: false
evictionHard: {memory.available: 10Mi, nodefs.available: 1%, imagefs.available: 1%, nodefs.inodesFree: 1%}
imageGCHighThresholdPercent: 100
imageGCLowThresholdPercent: 99
localStorageCapacityIsolation: false
podLogsDir: $state/pod-logs
volumePluginDir: $state/volume-plugins
resolvConf: ""
makeIPTablesUtilChains: false
nodeStatusUpdateFrequency: 2s
KUBELET
cat >"$state/Corefile" <<COREFILE
. {
    bind $address
    errors
    kubernetes cluster.local {
        kubeconfig $KUBECONFIG
    }
}
COREFILE

start() { # start NAME COMMAND...
    name=$1
    shift
    "$@" >"$state/$name.log" 2>&1 </dev/null &
    echo $! >"$state/$name.pid"
}
start containerd containerd --config "$state/containerd.toml"
start coredns "$kube" coredns -conf "$state/Corefile"
until ctr -a "$state/containerd.sock" version >/dev/null 2>&1; do
    kill -0 "$(cat "$state/containerd.pid")" || { tail -n 20 "$state/containerd.log" >&2; exit 1; }
    sleep 0.1
done
for image; do
    ctr -a "$state/containerd.sock" -n k8s.io images import --local "$image" >/dev/null
done
start kubelet "$kube" kubelet --config "$state/kubelet.yaml" --kubeconfig "$KUBECONFIG" --root-dir "$state/kubelet" \
    --cert-dir "$state/certificates" --hostname-override node-1 --node-ip "$address" \
    --node-labels topology.kubernetes.io/zone=zone-1
until "$kube" kubectl wait --for=condition=Ready node/node-1 --timeout=30s >/dev/null 2>&1; do
    kill -0 "$(cat "$state/kubelet.pid")" || { tail -n 20 "$state/kubelet.log" >&2; exit 1; }
    sleep 0.1
done
