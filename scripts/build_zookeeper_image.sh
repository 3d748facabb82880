#!/bin/sh
# Builds a container image with a ZooKeeper from Maven Central, on the Debian or Ubuntu that this machine runs, for places
# where the official image can't be pulled.
#
#     scripts/build_zookeeper_image.sh TAG VERSION            needs root and a Docker engine; takes about a minute
#     scripts/build_zookeeper_image.sh TAG VERSION ARCHIVE    writes a file that engines load, and needs none
#
# The image honours the official image's variables ZOO_TICK_TIME, ZOO_INIT_LIMIT, ZOO_SYNC_LIMIT, ZOO_MAX_CLIENT_CNXNS,
# ZOO_4LW_COMMANDS_WHITELIST, ZOO_ADMINSERVER_ENABLED, ZOO_AUTOPURGE_PURGEINTERVAL, ZOO_SERVERS, ZOO_MY_ID,
# ZOO_CFG_EXTRA, ZK_SERVER_HEAP and JVMFLAGS, listens on 2181, keeps its data in /data and its log in /datalog, and runs
# the server as process 1, so that `docker stop` reaches it.
set -eu
cd "$(dirname "$0")/.."

usage='usage: scripts/build_zookeeper_image.sh TAG VERSION [ARCHIVE]'
tag=${1:?$usage}
jars=$(sh scripts/get_zookeeper.sh "${2:?$usage}")
archive=${3:-}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM

mkdir "$work/zookeeper"
cp "$jars"/*.jar "$work/zookeeper"
cat >"$work/zookeeper/logback.xml" <<'LOGBACK'
<configuration>
  <appender name="out" class="ch.qos.logback.core.ConsoleAppender">
    <encoder><pattern>%d [%thread] %-5level %logger{20} - %msg%n</pattern></encoder>
  </appender>
  <root level="INFO"><appender-ref ref="out"/></root>
</configuration>
LOGBACK
cat >"$work/zookeeper-entrypoint" <<'ENTRYPOINT'
#!/bin/sh
set -eu
{
    echo "dataDir=/data"
    echo "dataLogDir=/datalog"
    if [ -z "${ZOO_SERVERS:-}" ]; then echo "clientPort=2181"; fi
    echo "tickTime=${ZOO_TICK_TIME:-2000}"
    echo "initLimit=${ZOO_INIT_LIMIT:-5}"
    echo "syncLimit=${ZOO_SYNC_LIMIT:-2}"
    echo "maxClientCnxns=${ZOO_MAX_CLIENT_CNXNS:-60}"
    echo "admin.enableServer=${ZOO_ADMINSERVER_ENABLED:-true}"
    echo "autopurge.purgeInterval=${ZOO_AUTOPURGE_PURGEINTERVAL:-0}"
    if [ -n "${ZOO_4LW_COMMANDS_WHITELIST:-}" ]; then
        echo "4lw.commands.whitelist=$ZOO_4LW_COMMANDS_WHITELIST"
    fi
    for entry in ${ZOO_SERVERS:-} ${ZOO_CFG_EXTRA:-}; do echo "$entry"; done
} >/data/zoo.cfg
echo "${ZOO_MY_ID:-1}" >/data/myid
cd /data
# shellcheck disable=SC2086 # several options
exec java -Xmx"${ZK_SERVER_HEAP:-256}m" -XX:+UseSerialGC ${JVMFLAGS:-} -cp '/zookeeper/*:/zookeeper' \
    org.apache.zookeeper.server.quorum.QuorumPeerMain /data/zoo.cfg
ENTRYPOINT
chmod 755 "$work/zookeeper-entrypoint"

# shellcheck disable=SC2016 # $1 is the hook's own
sh scripts/make_rootfs.sh "$work/rootfs.tar" default-jre-headless \
    --customize-hook="copy-in $work/zookeeper-entrypoint /usr/local/bin" \
    --customize-hook="copy-in $work/zookeeper /" \
    --customize-hook='mkdir "$1/data" "$1/datalog"'

if [ -n "$archive" ]; then
    printf '%s\n' 'ENTRYPOINT ["/usr/local/bin/zookeeper-entrypoint"]' 'EXPOSE 2181' |
        python3 scripts/make_image.py "$archive" "$tag" "$work/rootfs.tar"
else
    docker import \
        --change 'ENTRYPOINT ["/usr/local/bin/zookeeper-entrypoint"]' --change 'EXPOSE 2181' \
        "$work/rootfs.tar" "$tag"
fi
