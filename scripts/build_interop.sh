#!/bin/sh
# scripts/build_interop.sh: builds the programs of tests/interop/java in .cache/interop: libraries from Maven Central in
# lib/, our own classes in classes/. Quick when nothing has changed.
#
# Needs Maven and a JDK of Java 17 or later; on Debian and Ubuntu it installs them as root.
set -eu
cd "$(dirname "$0")/.."

say() { printf '==> %s\n' "$*" >&2; }
fail() { printf 'error: %s\n' "$*" >&2; exit 1; }

source=tests/interop/java
built=.cache/interop

if ! command -v mvn >/dev/null || ! command -v javac >/dev/null; then
    sh scripts/apt_install.sh maven 'openjdk-17-jdk-headless | default-jdk-headless' >&2
fi

mkdir -p "$built"
if ! cmp -s "$source/pom.xml" "$built/pom.xml"; then
    say "Getting Spring Cloud Zookeeper and Curator from Maven Central"
    rm -rf "$built/lib" "$built/pom.xml"
    mvn --batch-mode --quiet -Dstyle.color=never --file "$source/pom.xml" \
        org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy-dependencies \
        -DoutputDirectory="$PWD/$built/lib" >"$built/log" 2>&1 </dev/null || {
        grep -m 1 ERROR "$built/log" >&2 || true
        fail "Maven does not get them, see above and $built/log"
    }
    cp "$source/pom.xml" "$built/pom.xml"
fi

if [ -d "$built/classes" ] && [ -z "$(find "$source" "$built/pom.xml" -newer "$built/classes" -type f)" ]; then exit 0; fi
rm -rf "$built/classes"
javac -parameters -Xlint:all,-processing,-classfile,-serial -Werror -cp "$built/lib/*" -d "$built/classes" \
    "$source"/interop/*.java || {
    rm -rf "$built/classes" # or the next run would take it for built
    exit 1
}
