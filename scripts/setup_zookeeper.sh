#!/bin/sh
# scripts/setup_zookeeper.sh [auto|hosts|container|local]: sees to it that tests and demo can have a ZooKeeper of that
# kind, and on Debian and Ubuntu installs one if not.
#
# To find out, it starts one as the tests do and stops it again. Needs the environment of setup_python.sh.
set -eu
cd "$(dirname "$0")/.."
source=${1:-auto}

# Status 3: no server of that kind can be had; the reason is printed.
try() {
    .venv/bin/python - "$source" <<'PY'
import sys

from zkdiscovery.errors import NoServerForTests
from zkdiscovery.testing import zookeeper_server


def tell(line):
    if "no container" not in line:  # whatever is run next says so
        print("==>", line, flush=True)


try:
    with zookeeper_server(source=sys.argv[1], notify=tell) as server:
        print("==> ZooKeeper:", server.source)
except NoServerForTests as error:
    print("==> No ZooKeeper:", error)
    sys.exit(3)
PY
}

status=0
try || status=$?
if [ $status = 3 ] && { [ "$source" = auto ] || [ "$source" = local ]; } && command -v apt-get >/dev/null; then
    sh scripts/apt_install.sh 'libzookeeper-java (>= 3.6)' 'openjdk-17-jre-headless | default-jre-headless' libslf4j-java
    status=0
    try || status=$?
fi
exit $status
