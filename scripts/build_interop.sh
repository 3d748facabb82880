#!/bin/sh
# scripts/build_interop.sh: builds the programs of tests/interop/java in .cache/interop, those of tests/interop/eureka/java
# in .cache/eureka, and the Spring application with the clients of Eureka and Consul in .cache/registries, because the
# libraries of Eureka's server break its client: libraries from Maven Central in lib/, our own classes in classes/. Quick
# when nothing has changed.
#
# Needs Maven and a JDK of Java 17 or later; on Debian and Ubuntu it installs them as root.
set -eu
cd "$(dirname "$0")/.."

say() { printf '==> %s\n' "$*" >&2; }
fail() { printf 'error: %s\n' "$*" >&2; exit 1; }

if ! command -v mvn >/dev/null || ! command -v javac >/dev/null; then
    sh scripts/apt_install.sh maven 'openjdk-17-jdk-headless | default-jdk-headless' >&2
fi

build() { # WHAT POM BUILT SOURCE...
    what=$1 pom=$2 built=$3
    shift 3
    mkdir -p "$built"
    if ! cmp -s "$pom" "$built/pom.xml"; then
        say "Getting $what from Maven Central"
        rm -rf "$built/lib" "$built/pom.xml"
        mvn --batch-mode --quiet -Dstyle.color=never --file "$pom" \
            org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy-dependencies \
            -DoutputDirectory="$PWD/$built/lib" >"$built/log" 2>&1 </dev/null || {
            grep -m 1 ERROR "$built/log" >&2 || true
            fail "Maven does not get them, see above and $built/log"
        }
        cp "$pom" "$built/pom.xml"
    fi

    if [ -d "$built/classes" ] && [ -z "$(find "$@" "$built/pom.xml" -newer "$built/classes" -type f)" ]; then return; fi
    rm -rf "$built/classes"
    javac -parameters -Xlint:all,-processing,-classfile,-serial -Werror -cp "$built/lib/*" -d "$built/classes" "$@" || {
        rm -rf "$built/classes" # or the next run would take it for built
        exit 1
    }
}

build "Spring Cloud Zookeeper and Curator" tests/interop/java/pom.xml .cache/interop tests/interop/java/interop/*.java
build "Spring Cloud's Eureka" tests/interop/eureka/java/pom.xml .cache/eureka \
    tests/interop/eureka/java/registry/*.java
build "Spring Cloud's clients of Eureka and Consul" tests/interop/registries/pom.xml .cache/registries \
    tests/interop/java/interop/Application.java
