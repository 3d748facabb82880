#!/bin/sh
# scripts/build_pod_images.sh: builds the images that tests run as pods, in .cache/kubernetes/images, as archives that
# containerd loads; nothing can be pulled there. Quick when nothing has changed. Needs root.
#
#     pause.tar        what keeps the network of a pod
#     zookeeper.tar    zookeeper:3.9, from Maven Central
#     payments.tar     payments:1, what examples/containers/Dockerfile says, on this machine's Debian
#     zkdiscovery.tar  zkdiscovery:1, its stage of that name, with the extra "kubernetes"
set -eu
cd "$(dirname "$0")/.."

say() { printf '==> %s\n' "$*" >&2; }

zookeeper=3.9.5
python=${VENV:-.venv}/bin/python
images=.cache/kubernetes/images
example=examples/containers
registry=docker.io/library # where a name without a registry belongs

sh scripts/get_containerd.sh
mkdir -p "$images"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM

build() { # build NAME TAG LAYER...: writes the image NAME.tar with the instructions of stdin
    name=$1
    shift
    python3 scripts/make_image.py "$work/$name.tar" "$@"
    mv "$work/$name.tar" "$images/$name.tar"
}
outdated() { # outdated FILE SOURCE...: whether there is no such file, or a source is younger
    [ -e "$1" ] || return 0
    target=$1
    shift
    [ -n "$(find "$@" -name __pycache__ -prune -o -type f -newer "$target" -print | head -n 1)" ]
}

if [ ! -e "$images/pause.tar" ]; then
    mkdir -p "$work/pause/bin"
    cp .cache/kubernetes/node/bin/busybox "$work/pause/bin/"
    echo 'ENTRYPOINT ["/bin/busybox", "sleep", "2147483647"]' | build pause localhost/pause:1 "$work/pause"
fi
if outdated "$images/zookeeper.tar" scripts/build_zookeeper_image.sh; then
    say "Building an image of ZooKeeper $zookeeper"
    sh scripts/build_zookeeper_image.sh "$registry/zookeeper:3.9" "$zookeeper" "$work/zookeeper.tar"
    mv "$work/zookeeper.tar" "$images/zookeeper.tar"
fi
if [ ! -e "$images/python.tar" ]; then
    say "Building a file system with Python"
    sh scripts/make_rootfs.sh "$work/python.tar" python3,python-is-python3
    mv "$work/python.tar" "$images/python.tar"
fi
if outdated "$images/zkdiscovery.tar" "$images/python.tar" zkdiscovery pyproject.toml "$example"; then
    say "Building the images of $example/Dockerfile"
    pip() { "$python" -m pip --quiet --disable-pip-version-check "$@"; }
    pip wheel --no-deps --no-build-isolation --wheel-dir "$work/wheels" .
    version=$(tar --list --file "$images/python.tar" | sed -n 's|^./usr/bin/python\(3\.[0-9]*\)$|\1|p')
    install() { # install LAYER EXTRAS: the package with these extras
        pip install --root-user-action ignore --no-warn-script-location --no-warn-conflicts --target "$work/$1/packages" \
            --python-version "$version" --only-binary :all: "$(echo "$work"/wheels/*.whl)[$2]"
        sed -i '1s|^#!.*|#!/usr/bin/python3|' "$work/$1/packages/bin/"*
    }
    install payments cli
    mkdir "$work/payments/app"
    cp "$example/payments.py" "$work/payments/app/"
    install zkdiscovery cli,kubernetes
    instructions() { # instructions [AWK PATTERN]: those of the stages that set how the image runs; up to where it matches
        printf 'ENV %s\n' PATH=/packages/bin:/usr/local/bin:/usr/bin:/bin PYTHONPATH=/packages
        awk "${1:-0} { exit } /^(USER|WORKDIR|ENTRYPOINT|CMD) /" "$example/Dockerfile"
    }
    instructions | build payments "$registry/payments:1" "$images/python.tar" "$work/payments"
    instructions '/^FROM zkdiscovery/' | build zkdiscovery "$registry/zkdiscovery:1" "$images/python.tar" "$work/zkdiscovery"
fi
