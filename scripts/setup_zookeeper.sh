#!/bin/sh
# scripts/setup_zookeeper.sh [auto|hosts|container|local]: sees to it that tests and demo can have a ZooKeeper of that
# kind, and of the version $ZKDISCOVERY_ZOOKEEPER_VERSION if that is set; gets one if not.
#
# To find out, it starts one as the tests do and stops it again. Needs the environment of setup_python.sh.
set -eu
cd "$(dirname "$0")/.."
source=${1:-auto}
version=${ZKDISCOVERY_ZOOKEEPER_VERSION:-}

# Status 3: no server of that kind can be had; the reason is printed.
try() {
    "${VENV:-.venv}/bin/python" - "$source" <<'PY'
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

# A version that is asked for comes from Maven. Else any will do: a current one where Maven is here, or Debian's.
# One that is in a cache of another machine may lack the Java that Maven would have brought.
get() {
    if [ -n "$version" ]; then
        sh scripts/get_zookeeper.sh "$version" >/dev/null
        if ! command -v java >/dev/null && [ -z "${JAVA_HOME:-}" ] && command -v apt-get >/dev/null; then
            sh scripts/apt_install.sh 'openjdk-17-jre-headless | default-jre-headless'
        fi
    elif ! command -v mvn >/dev/null || ! sh scripts/get_zookeeper.sh 3.9.5 >/dev/null; then
        sh scripts/apt_install.sh 'libzookeeper-java (>= 3.6)' 'openjdk-17-jre-headless | default-jre-headless' \
            libslf4j-java
    fi
}

status=0
try || status=$?
case $status-$source-${ZKDISCOVERY_TEST_HOSTS:+named} in
    3-local-* | 3-auto-)
        get
        status=0
        try || status=$?
        ;;
esac
exit $status
