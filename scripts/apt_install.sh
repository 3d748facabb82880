#!/bin/sh
# scripts/apt_install.sh DEPENDENCY...: installs packages on Debian and Ubuntu as root; anywhere else it says what to do
# and fails. A dependency is written as in package descriptions: 'name', 'name (>= 1.2)', 'this | that'.
set -eu

wanted=$1
shift
for dependency; do wanted="$wanted, $dependency"; done

if ! command -v apt-get >/dev/null; then
    echo "error: this needs what Debian calls $wanted. Install it and try again" >&2
    exit 1
fi
if [ "$(id -u)" != 0 ]; then
    echo "error: this needs packages that only root can install. Run this and try again:" >&2
    echo "    sudo apt-get update && sudo apt-get satisfy --no-install-recommends '$wanted'" >&2
    exit 1
fi

echo "==> Installing packages: $wanted"
export DEBIAN_FRONTEND=noninteractive DEBCONF_NOWARNINGS=yes
# Where another package manager is at work, as the unattended upgrades of a new machine, waits for at most 5 minutes.
waits='-o DPkg::Lock::Timeout=300'
# shellcheck disable=SC2086 # two words
apt-get update -qq $waits
# shellcheck disable=SC2086
apt-get satisfy -qq -y --no-install-recommends $waits "$wanted" </dev/null >/dev/null
