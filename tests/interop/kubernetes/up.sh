#!/bin/sh
# up.sh STATE KUBE: starts a Kubernetes without containers on loopback and waits until it is ready. All it writes lies
# in STATE, which must not exist: STATE/kubeconfig and STATE/token are for clients. KUBE is the program that scripts/build_kubernetes.sh builds.
#
# Environment: NODES (how many nodes kwok plays, 3; with 0 there is no kwok and no scheduler), SCHEDULER=1 (a scheduler all
# the same), POD_NET (the pods' addresses, 10.244.0.0/16), STAGES (the lives that kwok plays, stages.yaml), COMPACT (how
# often old revisions are dropped, 5m), NODE_GRACE (how long a node may be silent, 20s), AUDIT=1 (STATE/audit.log).
set -eu
here=$(cd "$(dirname "$0")" && pwd)
mkdir "$1"
state=$(cd "$1" && pwd)
kube=$2
umask 077
export KUBECACHEDIR="$state/cache" # not ~/.kube

free_ports() { # free_ports N: N different ports of loopback that nobody listens on
    python3 -c 'import socket, sys
sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(int(sys.argv[1]))]
print(*(s.getsockname()[1] for s in sockets))' "$1"
}
start() { # start NAME ARGUMENT...: starts that part of the program, with its log and its process ID in STATE
    name=$1
    shift
    "$kube" "$name" "$@" >"$state/$name.log" 2>&1 </dev/null &
    echo $! >"$state/$name.pid"
}
until_ready() { # until_ready NAME COMMAND...: waits for at most a minute until the command succeeds
    name=$1 end=$(($(date +%s) + 60))
    shift
    until "$@" >/dev/null 2>&1; do
        if ! kill -0 "$(cat "$state/$name.pid")" 2>/dev/null || [ "$(date +%s)" -ge "$end" ]; then
            echo "error: $name does not start:" >&2
            tail -n 20 "$state/$name.log" >&2
            sh "$here/down.sh" "$state"
            exit 1
        fi
        sleep 0.1
    done
}
kubectl() { "$kube" kubectl --kubeconfig "$state/kubeconfig" "$@"; }

# shellcheck disable=SC2046
set -- $(free_ports 5)
etcd_client=$1 etcd_peer=$2 api=$3 manager=$4 kubelet=$5

openssl genrsa -out "$state/sa.key" 2048 2>/dev/null
openssl rsa -in "$state/sa.key" -pubout -out "$state/sa.pub" 2>/dev/null
openssl rand -hex 16 >"$state/token"
openssl rand -hex 16 >"$state/viewer-token"
echo "$(cat "$state/token"),admin,admin,system:masters" >"$state/tokens.csv"
echo "$(cat "$state/viewer-token"),viewer,viewer," >>"$state/tokens.csv"

start etcd --data-dir "$state/etcd" --client-port "$etcd_client" --peer-port "$etcd_peer"
# It tries until etcd answers. The server's own certificate is made by itself, and signed by an authority in the same file.
set -- kube-apiserver --etcd-servers "http://127.0.0.1:$etcd_client" --etcd-compaction-interval "${COMPACT:-5m}" \
    --bind-address 127.0.0.1 --advertise-address 127.0.0.1 --secure-port "$api" --cert-dir "$state/certificates" \
    --token-auth-file "$state/tokens.csv" --authorization-mode RBAC --endpoint-reconciler-type none \
    --service-cluster-ip-range 10.96.0.0/16 --service-account-issuer https://kubernetes.default.svc \
    --service-account-key-file "$state/sa.pub" --service-account-signing-key-file "$state/sa.key" --profiling=false \
    --kubelet-preferred-address-types InternalIP
if [ "${AUDIT:-}" = 1 ]; then
    printf '%s\n' 'apiVersion: audit.k8s.io/v1' 'kind: Policy' 'rules: [{level: Metadata}]' >"$state/audit.yaml"
    set -- "$@" --audit-policy-file "$state/audit.yaml" --audit-log-path "$state/audit.log"
fi
start "$@"

cat >"$state/kubeconfig" <<CONFIG
apiVersion: v1
kind: Config
current-context: test
contexts: [{name: test, context: {cluster: test, user: admin}}]
clusters: [{name: test, cluster: {server: "https://127.0.0.1:$api", certificate-authority: "$state/certificates/apiserver.crt"}}]
users: [{name: admin, user: {token: "$(cat "$state/token")"}}]
CONFIG
until_ready kube-apiserver kubectl get --raw /readyz

start kube-controller-manager --kubeconfig "$state/kubeconfig" --bind-address 127.0.0.1 --secure-port "$manager" \
    --authentication-kubeconfig "$state/kubeconfig" --authorization-kubeconfig "$state/kubeconfig" \
    --cert-dir "$state/certificates-manager" --leader-elect=false --service-account-private-key-file "$state/sa.key" \
    --root-ca-file "$state/certificates/apiserver.crt" --kube-api-qps 200 --kube-api-burst 400 \
    --node-monitor-period 1s --node-monitor-grace-period "${NODE_GRACE:-20s}" --profiling=false

if [ "${NODES:-3}" -gt 0 ] || [ "${SCHEDULER:-}" = 1 ]; then
    start kube-scheduler --kubeconfig "$state/kubeconfig" --secure-port 0 --leader-elect=false \
        --kube-api-qps 200 --kube-api-burst 400 --profiling=false
fi
if [ "${NODES:-3}" -gt 0 ]; then
    start kwok --kubeconfig "$state/kubeconfig" --manage-all-nodes --cidr "${POD_NET:-10.244.0.0/16}" \
        --server-address "127.0.0.1:$kubelet" --node-lease-duration-seconds 10 --config "${STAGES:-$here/stages.yaml}"
    number=1
    while [ "$number" -le "${NODES:-3}" ]; do
        cat <<NODE
---
apiVersion: v1
kind: Node
metadata:
  name: node-$number
  annotations: {kwok.x-k8s.io/node: fake}
  labels: {kubernetes.io/hostname: node-$number, topology.kubernetes.io/zone: zone-$number, type: kwok}
status:
  allocatable: {cpu: "32", memory: 256Gi, pods: "1000"}
  capacity: {cpu: "32", memory: 256Gi, pods: "1000"}
NODE
        number=$((number + 1))
    done | kubectl apply -f - >/dev/null
fi
until_ready kube-controller-manager kubectl get serviceaccount default
echo "Kubernetes is ready: KUBECONFIG=$state/kubeconfig"
