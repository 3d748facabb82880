#!/bin/sh
# scripts/get_zookeeper.sh VERSION: gets that ZooKeeper from Maven Central, with what its server needs and a back end for
# its log, into the user's cache, where tests look for it. Prints the directory. Quick when it is there.
#
# Needs Maven and a Java; on Debian and Ubuntu it installs them as root.
set -eu
cd "$(dirname "$0")/.."

say() { printf '==> %s\n' "$*" >&2; }
fail() { printf 'error: %s\n' "$*" >&2; exit 1; }

version=${1:?usage: scripts/get_zookeeper.sh VERSION}
cache=${XDG_CACHE_HOME:-$HOME/.cache}/zkdiscovery/zookeeper

# Logback as slf4j's version asks for it. ZooKeeper 3.8 brings its own, earlier ones log4j, later ones none.
case $version in
    3.[67].[0-9]*) logging='ch.qos.logback:logback-classic:1.2.13' ;;
    3.8.[0-9]*) logging='' ;;
    3.[9].[0-9]* | 3.[1-9][0-9].[0-9]*) logging='org.slf4j:slf4j-api:2.0.13 ch.qos.logback:logback-classic:1.3.15' ;;
    *) fail "$version is no version of ZooKeeper from 3.6 on; write it as 3.9.5" ;;
esac

if [ -d "$cache/$version" ]; then
    echo "$cache/$version"
    exit 0
fi
command -v mvn >/dev/null || sh scripts/apt_install.sh maven 'openjdk-17-jre-headless | default-jre-headless' >&2

mkdir -p "$cache"
work=$(mktemp -d "$cache/.getting.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM

{
    echo '<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>'
    echo '<groupId>zkdiscovery</groupId><artifactId>zookeeper</artifactId><version>1</version><dependencies>'
    # The server's metrics and the snapshots' compression are not among what ZooKeeper's own description asks for.
    for artifact in "org.apache.zookeeper:zookeeper:$version" \
        io.dropwizard.metrics:metrics-core:4.1.12.1 org.xerial.snappy:snappy-java:1.1.10.5 $logging; do
        group=${artifact%%:*}
        name=${artifact#*:}
        echo "<dependency><groupId>$group</groupId><artifactId>${name%:*}</artifactId><version>${name#*:}</version></dependency>"
    done
    echo '</dependencies></project>'
} >"$work/pom.xml"

say "Getting ZooKeeper $version from Maven Central"
# Without netty's native TLS, of 20 MB, which the server does not use.
mvn --batch-mode --quiet -Dstyle.color=never --file "$work/pom.xml" \
    org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy-dependencies \
    -DoutputDirectory="$work/jars" -DexcludeArtifactIds=netty-tcnative-boringssl-static >"$work/log" 2>&1 </dev/null || {
    grep -m 1 ERROR "$work/log" >&2 || true
    fail "Maven does not get ZooKeeper $version, see above. Choose another version with ZOOKEEPER="
}
[ -d "$cache/$version" ] || mv "$work/jars" "$cache/$version"
echo "$cache/$version"
