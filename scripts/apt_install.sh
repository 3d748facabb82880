#!/bin/sh
# scripts/apt_install.sh PACKAGE...: installs packages on Debian and Ubuntu as root; anywhere else says what to do and fails.
set -eu

if ! command -v apt-get >/dev/null; then
    printf 'error: this needs what Debian calls %s; install it and try again\n' "$*" >&2
    exit 1
fi
if [ "$(id -u)" != 0 ]; then
    printf 'error: only root can install packages; run this and try again:\n    sudo apt-get install --no-install-recommends %s\n' "$*" >&2
    exit 1
fi

printf '==> Installing %s\n' "$*"
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
# Waits, for at most 5 minutes, for another package manager to finish, such as the unattended upgrades of a new machine.
apt-get install -qq -y --no-install-recommends -o DPkg::Lock::Timeout=300 "$@" </dev/null >/dev/null
