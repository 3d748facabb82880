#!/bin/sh
# scripts/unpack_packages.sh DIRECTORY PACKAGE...: gets packages from Debian's archive and unpacks them below DIRECTORY,
# without installing them, and without what they depend on. A package is written as apt-get does: NAME or NAME/SUITE; NAME
# alone is of sid.
set -eu

fail() { printf 'error: %s\n' "$*" >&2; exit 1; }

command -v apt-get >/dev/null || fail "this gets programs by apt-get, which is not here"
mkdir -p "$1"
root=$(cd "$1" && pwd)
shift
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM

# An apt of its own, so that the machine's package lists stay as they are.
mkdir -p "$work/lists/partial" "$work/archives/partial" "$work/packages"
mirror=$(grep -rhoE 'https?://[^ ]*debian\.org/debian/?' /etc/apt/sources.list /etc/apt/sources.list.d 2>/dev/null |
    grep -v snapshot | head -n 1) || true
keys=/usr/share/keyrings/debian-archive-keyring.gpg
{
    echo sid
    for package; do case $package in */*) echo "${package#*/}" ;; esac done
} | sort -u | while read -r suite; do
    echo "deb [signed-by=$keys] ${mirror:-http://deb.debian.org/debian} $suite main"
done >"$work/sources.list"
: >"$work/status"
apt() { # apt COMMAND...
    apt-get -qq -o Dir::State="$work" -o Dir::State::status="$work/status" -o Dir::State::lists="$work/lists" \
        -o Dir::Cache="$work" -o Dir::Cache::archives="$work/archives" -o Dir::Etc::sourcelist="$work/sources.list" \
        -o Dir::Etc::sourceparts=/dev/null -o Acquire::Check-Valid-Until=false -o APT::Sandbox::User=root \
        -o Acquire::Languages=none -o Acquire::IndexTargets::deb::Contents-deb::DefaultEnabled=false "$@"
}

apt update >&2 || fail "Debian's archive does not answer"
cd "$work/packages"
apt download "$@" >&2 || fail "Debian's archive has no such packages, see above"
for package in *.deb; do dpkg-deb -x "$package" "$root"; done
