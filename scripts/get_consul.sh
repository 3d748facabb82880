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
mkdir -p "$built"
work=$(mktemp -d "$built/.getting.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM

say "Getting Consul from Debian's archive"
sh scripts/unpack_packages.sh "$work/root" consul/bullseye
"$work/root/usr/bin/consul" version >&2 || fail "the Consul of Debian's suite bullseye does not run here"
mv "$work/root/usr/bin/consul" "$built/consul"
echo "$built/consul"
