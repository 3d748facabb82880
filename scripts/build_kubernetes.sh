#!/bin/sh
# scripts/build_kubernetes.sh: builds the program of tests/interop/kubernetes, a small Kubernetes, as
# .cache/kubernetes/kube. Quick when nothing has changed.
#
# Needs Go 1.21 or later, which gets the version that go.mod asks for; on Debian and Ubuntu it installs one as root. The
# first time it takes 6 minutes on two cores, 95 MB of modules and 3 GB of Go's own caches; GOFLAGS=-p=1 spares a core.
set -eu
cd "$(dirname "$0")/.."

source=tests/interop/kubernetes
built=.cache/kubernetes

if ! command -v go >/dev/null; then
    sh scripts/apt_install.sh 'golang-go (>= 2:1.21)' >&2
fi
if ! command -v openssl >/dev/null || ! command -v python3 >/dev/null; then # for up.sh
    sh scripts/apt_install.sh openssl python3 >&2
fi

if [ -x "$built/kube" ] && [ -z "$(find "$source" -name '*.go' -newer "$built/kube" -o -name 'go.*' -newer "$built/kube")" ]; then
    exit 0
fi
mkdir -p "$built"
echo "==> Building a Kubernetes for tests" >&2
built=$(cd "$built" && pwd)
cd "$source"
version=$(go list -m -f '{{.Version}}' k8s.io/kubernetes)
package=k8s.io/component-base/version
minor=${version#v1.}
CGO_ENABLED=0 go build -trimpath -o "$built/kube.new" \
    -ldflags "-s -w -X $package.gitVersion=$version -X $package.gitMajor=1 -X $package.gitMinor=${minor%%.*}" .
mv "$built/kube.new" "$built/kube"
