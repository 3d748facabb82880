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
command -v apt-get >/dev/null || fail "this gets a Docker engine by apt-get, which is not here"

mkdir -p "$built"
work=$(mktemp -d "$built/.getting.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM

# An apt of its own, so that the machine's package lists stay as they are.
mkdir -p "$work/lists/partial" "$work/archives/partial" "$work/packages" "$work/root"
mirror=$(grep -rhoE 'https?://[^ ]*debian\.org/debian/?' /etc/apt/sources.list /etc/apt/sources.list.d 2>/dev/null |
    grep -v snapshot | head -n 1) || true
. /etc/os-release
keys=/usr/share/keyrings/debian-archive-keyring.gpg
{
    echo "deb [signed-by=$keys] ${mirror:-http://deb.debian.org/debian} sid main"
    [ "${ID:-}" != debian ] || echo "deb [signed-by=$keys] ${mirror:-http://deb.debian.org/debian} $VERSION_CODENAME main"
} >"$work/sources.list"
: >"$work/status"
apt() { # apt COMMAND...
    apt-get -qq -o Dir::State="$work" -o Dir::State::status="$work/status" -o Dir::State::lists="$work/lists" \
        -o Dir::Cache="$work" -o Dir::Cache::archives="$work/archives" -o Dir::Etc::sourcelist="$work/sources.list" \
        -o Dir::Etc::sourceparts=/dev/null -o Acquire::Check-Valid-Until=false -o APT::Sandbox::User=root \
        -o Acquire::Languages=none -o Acquire::IndexTargets::deb::Contents-deb::DefaultEnabled=false "$@"
}

say "Getting a Docker engine from Debian's archive"
apt update >&2 || fail "Debian's archive does not answer"
cd "$work/packages"
runc=runc
[ "${ID:-}" != debian ] || runc=runc/$VERSION_CODENAME
apt download docker.io/sid docker-cli/sid docker-compose/sid containerd/sid "$runc" busybox-static >&2 ||
    fail "Debian's archive has no such packages, see above"
for package in *.deb; do dpkg-deb -x "$package" "$work/root"; done
cd "$OLDPWD"

root=$work/root
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
