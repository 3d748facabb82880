#!/bin/sh
# scripts/make_rootfs.sh ARCHIVE PACKAGES [OPTION...]: makes the root file system of a container image as a tar archive: the
# Debian or Ubuntu that this machine runs, with these packages, separated by commas. An OPTION is one of mmdebstrap.
#
# Needs root, and mmdebstrap, which it installs.
set -eu
archive=$1 packages=$2
shift 2
command -v mmdebstrap >/dev/null || sh "$(dirname "$0")/apt_install.sh" mmdebstrap >&2
settings=$(mktemp)
trap 'rm -f "$settings"' EXIT
trap 'exit 130' INT TERM

# The machine's own package sources and download settings (mirror, proxy, certificates). They serve the build and are
# removed from the image.
. /etc/os-release
sources=$(grep -rlsE "^[^#]*[[:space:]]${VERSION_CODENAME}([[:space:]]|\$)" /etc/apt/sources.list /etc/apt/sources.list.d || true)
apt-config dump | grep '^Acquire::' >"$settings" || true

# shellcheck disable=SC2016,SC2086 # $1 is the hook's own; one argument for each file
mmdebstrap --quiet --variant=apt --include="$packages" --aptopt="$settings" "$@" \
    --customize-hook='rm -rf "$1"/etc/apt/apt.conf.d/99mmdebstrap "$1"/etc/apt/sources.list*' \
    "$VERSION_CODENAME" "$archive" $sources
