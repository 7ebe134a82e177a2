#!/bin/sh
# Installs the official RocketMQ 5 clients that the scenarios run, at the versions pinned in
# node/package-lock.json, python/requirements.txt, go/go.sum and java/pom.xml. Everything goes to
# a cache outside the source tree, one folder per language named by a hash of what it was made
# from: a second run does nothing. Prints one line LANGUAGE=FOLDER each.
#
#   tests/clients/install.sh [node] [python] [go] [java]        (default: all four)
#   tests/clients/install.sh --go      prints a go command that is new enough, for other tools
#
# SKUA_CACHE names the cache (default: ${XDG_CACHE_HOME:-~/.cache}/skua). Missing tools are
# installed with apt-get, which needs root or sudo.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
cache=${SKUA_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/skua}/clients
mkdir -p "$cache"

say() { echo "install: $*" >&2; }

# need COMMAND PACKAGE...: remembers the packages of a command that is missing.
missing=
need() {
    command=$1
    shift
    command -v "$command" >/dev/null || missing="$missing $*"
}

install_missing() {
    [ -n "$missing" ] || return 0
    say "apt-get install$missing"
    sudo=
    [ "$(id -u)" = 0 ] || sudo=sudo
    $sudo apt-get update -qq >&2
    # shellcheck disable=SC2086  # a list of packages
    DEBIAN_FRONTEND=noninteractive $sudo apt-get install -y -qq --no-install-recommends $missing >&2
}

install_node() {
    cp "$here"/node/package.json "$here"/node/package-lock.json "$here"/node/.npmrc "$1"
    (cd "$1" && npm ci --silent --no-audit --no-fund --ignore-scripts)
}

install_python() {
    python3 -m venv "$1"
    "$1"/bin/python -m pip install --quiet --disable-pip-version-check --no-deps \
        -r "$here"/python/requirements.txt
}

# modern_go: a go command that can build go/go.mod. Go 1.21 and later fetch a newer toolchain
# themselves; Debian 12's 1.19 cannot, but it can download the module that holds one.
modern_go() {
    wanted=$(sed -n 's/^go //p' "$here"/go/go.mod)
    have=$(go env GOVERSION | sed 's/^go//')
    if [ "$(printf '%s\n' "$wanted" "$have" | sort -V | head -n 1)" = "$wanted" ]; then
        echo go
    elif [ -n "$(go env GOTOOLCHAIN)" ]; then
        echo env GOTOOLCHAIN=auto go
    else
        module=golang.org/toolchain@v0.0.1-go$wanted.0.$(go env GOOS)-$(go env GOARCH)
        root=$(cd / && go mod download -json "$module" | sed -n 's/.*"Dir": "\(.*\)".*/\1/p')
        chmod -R u+w "$root"
        find "$root/bin" "$root/pkg/tool" -type f -exec chmod u+x {} +
        echo "env -u GOROOT $root/bin/go"
    fi
}

install_go() {
    go=$(modern_go)
    # shellcheck disable=SC2086  # a command and its words
    (cd "$here"/go && $go build -trimpath -buildvcs=false -o "$1/skua-official-go" .)
}

install_java() {
    mvn -q -B -f "$here"/java/pom.xml dependency:copy-dependencies \
        -DoutputDirectory="$1/lib" </dev/null >&2
    javac -encoding UTF-8 -cp "$1/lib/*" -d "$1/classes" "$here"/java/*.java
}

# sources LANGUAGE: what the installation is made of. Node.js and Python programs run in place.
sources() {
    case $1 in
    node) echo node/package.json node/package-lock.json ;;
    python) echo python/requirements.txt ;;
    go) echo go/go.mod go/go.sum go/*.go ;;
    java) echo java/pom.xml java/*.java ;;
    *) say "unknown language $1" && exit 2 ;;
    esac
}

folder() {
    # shellcheck disable=SC2046  # a list of files
    echo "$cache/$1-$(cd "$here" && cat install.sh $(sources "$1") | sha256sum | cut -c 1-16)"
}

# install LANGUAGE: into a folder of its own, that gets its name only when it is whole.
install() {
    whole=$(folder "$1")
    partial=$(mktemp -d "$cache/$1.partial.XXXXXX")
    trap 'rm -rf "$partial"' EXIT
    say "$1 ..."
    "install_$1" "$partial"
    mv -T "$partial" "$whole" 2>/dev/null || true  # Another run may have been faster.
    say "$1 done"
}

if [ "${1:-}" = --go ]; then
    need go golang-go ca-certificates
    install_missing
    modern_go
    exit
fi
[ $# -gt 0 ] || set -- node python go java
todo=
for language in "$@"; do
    [ -d "$(folder "$language")" ] || todo="$todo $language"
done
for language in $todo; do
    case $language in
    node) need node nodejs && need npm npm ;;
    python) need python3 python3 && { python3 -c 'import ensurepip' 2>/dev/null ||
        missing="$missing python3 python3-venv"; } ;;
    go) need go golang-go ca-certificates ;;
    java) need javac default-jdk-headless && need mvn maven ;;
    esac
done
install_missing
jobs=
for language in $todo; do
    install "$language" &
    jobs="$jobs $!"
done
for job in $jobs; do
    wait "$job"
done
for language in "$@"; do
    echo "$language=$(folder "$language")"
done
