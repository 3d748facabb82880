#!/bin/sh
# scripts/get_consul.sh: gets Consul 1.8.7 from Debian's archive into the user's cache, without installing it. Prints the
# path of the program. Quick when it is there.
#
# The package is of Debian's suite bullseye: no later suite has Consul.
set -eu
cd "$(dirname "$0")/.."

say() { printf '==> %s\n' "$*" >&2; }
fail() { printf 'error: %s\n' "$*" >&2; exit 1; }

built=${XDG_CACHE_HOME:-$HOME/.cache}/zkdiscovery/consul
if [ -x "$built/consul" ]; then
    echo "$built/consul"
    exit 0
fi
command -v apt-get >/dev/null || fail "this gets Consul by apt-get, which is not here"

mkdir -p "$built"
work=$(mktemp -d "$built/.getting.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM

# An apt of its own, so that the machine's package lists stay as they are.
mkdir -p "$work/lists/partial" "$work/archives/partial" "$work/packages" "$work/root"
mirror=$(grep -rhoE 'https?://[^ ]*debian\.org/debian/?' /etc/apt/sources.list /etc/apt/sources.list.d 2>/dev/null |
    grep -v snapshot | head -n 1) || true
keys=/usr/share/keyrings/debian-archive-keyring.gpg
echo "deb [signed-by=$keys] ${mirror:-http://deb.debian.org/debian} bullseye main" >"$work/sources.list"
: >"$work/status"
apt() { # apt COMMAND...
    apt-get -qq -o Dir::State="$work" -o Dir::State::status="$work/status" -o Dir::State::lists="$work/lists" \
        -o Dir::Cache="$work" -o Dir::Cache::archives="$work/archives" -o Dir::Etc::sourcelist="$work/sources.list" \
        -o Dir::Etc::sourceparts=/dev/null -o Acquire::Check-Valid-Until=false -o APT::Sandbox::User=root \
        -o Acquire::Languages=none -o Acquire::IndexTargets::deb::Contents-deb::DefaultEnabled=false "$@"
}

say "Getting Consul from Debian's archive"
apt update >&2 || fail "Debian's archive does not answer"
cd "$work/packages"
apt download consul/bullseye >&2 || fail "Debian's archive has no such package, see above"
dpkg-deb -x consul_*.deb "$work/root"
cd "$OLDPWD"
"$work/root/usr/bin/consul" version >&2 || fail "the Consul of Debian's suite bullseye does not run here"
mv "$work/root/usr/bin/consul" "$built/consul"
echo "$built/consul"
