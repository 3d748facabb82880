#!/bin/sh
# scripts/get_docker.sh: gets a current Docker engine from Debian's archive into the user's cache, without installing
# it: dockerd, containerd, runc, the client with Compose, and a static busybox for images. Prints the directory; its
# bin/ has the programs, its plugins/ those of the client. Quick when it is there.
#
# The packages are of Debian's suite sid. On Debian itself runc is of the machine's own suite, because sid's needs a newer
# C library.
set -eu
cd "$(dirname "$0")/.."

say() { printf '==> %s\n' "$*" >&2; }
fail() { printf 'error: %s\n' "$*" >&2; exit 1; }

built=${XDG_CACHE_HOME:-$HOME/.cache}/zkdiscovery/docker
if [ -x "$built/bin/dockerd" ]; then
    echo "$built"
    exit 0
fi

mkdir -p "$built"
work=$(mktemp -d "$built/.getting.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM

say "Getting a Docker engine from Debian's archive"
. /etc/os-release
runc=runc
[ "${ID:-}" != debian ] || runc=runc/$VERSION_CODENAME
root=$work/root
sh scripts/unpack_packages.sh "$root" docker.io/sid docker-cli/sid docker-compose/sid containerd/sid "$runc" busybox-static

mkdir "$work/bin" "$work/plugins"
for program in dockerd docker docker-proxy docker-init containerd containerd-shim-runc-v2 runc busybox; do
    find "$root" -type f -name "$program" -perm -u+x -exec cp {} "$work/bin/" \;
done
for plugin in "$root"/usr/libexec/docker/cli-plugins/*; do [ ! -f "$plugin" ] || cp "$plugin" "$work/plugins/"; done
"$work/bin/dockerd" --version >&2 || fail "the Docker engine of Debian's suite sid does not run here"

rm -rf "$built/bin" "$built/plugins"
mv "$work/plugins" "$built/plugins"
mv "$work/bin" "$built/bin"
echo "$built"
