#!/bin/sh
# Makes the virtual environment $VENV (.venv if not set) ready for work. Quick when there is nothing to do.
#
# It is built anew when pyproject.toml has changed, when the clone was moved, when it was made with another Python than
# $PYTHON (any suitable one if not set), and when it is incomplete or broken.
set -eu
cd "$(dirname "$0")/.."
venv=${VENV:-.venv}

say() { printf '==> %s\n' "$*"; }
fail() { printf 'error: %s\n' "$*" >&2; exit 1; }

# What decides whether the environment still fits: the interpreter, the clone's place, and pyproject.toml.
origin() {
    "$1" -I -c 'import os, sys; print(os.path.realpath(sys.executable), sys.version)' && pwd -P && cat pyproject.toml
}

up_to_date() {
    [ -f "$venv/origin" ] && origin "${PYTHON:-$venv/bin/python}" 2>/dev/null | cmp -s - "$venv/origin" &&
        "$venv/bin/python" -I -c 'import kazoo, pytest' 2>/dev/null
}

is_new_enough() { "$1" -I -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; }
can_make_venv() { "$1" -I -c 'import ensurepip, venv' >/dev/null 2>&1; }

# Prints the path of the interpreter itself: neither a version manager's shim nor the link in an active environment,
# which may be the one that is about to be replaced.
find_python() {
    if [ -n "${PYTHON:-}" ]; then set -- "$PYTHON"; else set -- python3.14 python3.13 python3.12 python3.11 python3; fi
    found=
    for candidate; do
        is_new_enough "$candidate" || continue
        found=$("$candidate" -I -c 'import os, sys; print(os.path.realpath(sys.executable))')
        if can_make_venv "$found"; then break; fi
    done
    [ -n "$found" ] || fail "no Python 3.11 or later among: $*. Install one, or name it: make PYTHON=/path/to/python3"
    echo "$found"
}

if up_to_date; then exit 0; fi

python=$(find_python)
version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
if ! can_make_venv "$python"; then
    say "$python lacks the module ensurepip"
    sh scripts/apt_install.sh "python$version-venv"
fi

say "Making the virtual environment $venv with $python (Python $version)"
rm -rf "$venv"
"$python" -m venv "$venv"
say "Installing the dependencies into it; this takes a minute"
"$venv/bin/python" -m pip install -qq --disable-pip-version-check -e '.[dev]'
origin "$venv/bin/python" >"$venv/origin"
