# packages.sh - what Skua needs of Debian 12, in one place; sourced, not run.
#
#   need_packages PACKAGE...   installs those that are missing (needs root or sudo)

# To build and run.
build_packages=(
    gcc cmake ninja-build pkg-config ccache
    libgrpc-dev libprotobuf-c-dev protobuf-c-compiler protobuf-compiler libprotobuf-dev libprotoc-dev
    libssl-dev libyaml-dev libjansson-dev libsmartcols-dev libisal-dev uthash-dev libmimalloc-dev
)

# To test, beyond that: a second compiler, the fuzzer's runtime, and the official clients' languages.
test_packages=(
    check clang libclang-rt-14-dev python3 python3-venv
)

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi
}

missing_packages() {
    local package
    for package in "$@"; do
        dpkg-query -W -f '${db:Status-Abbrev}' "$package" 2>/dev/null | grep -q '^ii' || echo "$package"
    done
}

need_packages() {
    local missing
    mapfile -t missing < <(missing_packages "$@")
    [ "${#missing[@]}" -eq 0 ] && return 0
    echo "Installing: ${missing[*]}"
    as_root apt-get update -qq
    DEBIAN_FRONTEND=noninteractive as_root apt-get install -y -qq --no-install-recommends \
        "${missing[@]}" >/dev/null
}
