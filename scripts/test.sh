#!/bin/bash
# test.sh - install what tests need, build, run every suite.
#
#   scripts/test.sh            everything: what CI runs
#   scripts/test.sh --quick    in three minutes: the long proofs in a short form or (label `long`) not
#                              at all; no official clients, clang, TSan and fuzzing
#   scripts/test.sh -R NAME    only the tests whose name matches (ctest -R), sanitizer build
#
# The suites run in the asan build (AddressSanitizer, LeakSanitizer, UndefinedBehaviorSanitizer),
# the process and official-client tests on the same instrumented servers; then unit and process suites
# and one exchange of the official clients under ThreadSanitizer (`scripts/prove.sh tsan`: all of
# them). gcc and clang both build it with warnings as errors. At the end: the ten tests that took longest.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. scripts/packages.sh

# Nothing to race in these, and they take their time.
one_threaded='broker.state.(model|buried)|clients.parse'
quick=no
filter=()
while [ $# -gt 0 ]; do
    case "$1" in
    --quick) quick=yes ;;
    -R) filter=(-R "$2"); shift ;;
    *) sed -n '2,13s/^# \{0,1\}//p' "$0"; [ "$1" = --help ] && exit 0; exit 2 ;;
    esac
    shift
done

began=$SECONDS
say() { printf '\n== %s (%ds)\n' "$*" $((SECONDS - began)); }

need_packages "${build_packages[@]}" "${test_packages[@]}"
# A published client's .proto files come from npm; any npm will do, Debian's brings half a thousand packages.
command -v npm >/dev/null || need_packages nodejs npm

# run NAME CTEST_ARGS...: the tests, and what each took.
taken=$(mktemp -d)
trap 'ten_slowest; rm -rf "$taken"' EXIT
run() {
    local name=$1
    shift
    ctest --output-junit "$taken/$name.xml" "$@"
}

ten_slowest() {
    local file name
    [ -n "$(ls -A "$taken")" ] || return 0
    printf '\n== the ten slowest\n'
    for file in "$taken"/*.xml; do
        name=$(basename "$file" .xml)
        sed -n 's/.*<testcase name="\([^"]*\)".* time="\([0-9.]*\)".*/\2 \1/p' "$file" |
            sed "s/\$/ ($name)/"
    done | sort -rn | head -10 | awk '{ printf "%8.1f s  %s %s\n", $1, $2, $3 }'
}

build() {
    say "build $1"
    cmake --preset "$1" >build-configure.log 2>&1 || { cat build-configure.log; exit 1; }
    rm -f build-configure.log
    cmake --build --preset "$@" | { grep -vE '^\[[0-9]+/[0-9]+\]' || true; }
}

build asan
if [ ${#filter[@]} -gt 0 ]; then
    ctest --preset asan "${filter[@]}"
    exit
fi

# What does not compile with clang, or optimized, is said before minutes of tests.
if [ "$quick" = no ]; then
    build clang
    build release
fi

[ "$quick" = yes ] || { say "official clients"; tests/clients/install.sh; }

say "unit and process suites, ASan + UBSan + LSan"
if [ "$quick" = yes ]; then
    # The short forms of what takes rounds; many of the others wait most of the time.
    SKUA_MODEL_RUNS=8 SKUA_POWERCUT_SEEDS=2 SKUA_KILL9_ROUNDS=3 \
        run asan --preset asan -j4 -LE 'clients|bench|long'
else
    run asan --preset asan -j2 -LE 'clients|bench'
fi

if [ "$quick" = no ]; then
    say "official clients against the sanitized servers"
    run official --preset asan -L clients

    build tsan
    say "unit and process suites, TSan"
    run tsan --preset tsan -j2 -L 'unit|process' -E "$one_threaded"
    say "official clients against servers under TSan"
    run tsan-official --preset tsan -R '^clients.dev$'

    build fuzz --target fuzzers
    say "fuzz targets, ${FUZZ_SECONDS:-60} s each, two at a time"
    tests/fuzz/run.py build/fuzz/bin --seconds "${FUZZ_SECONDS:-60}" --jobs 2
fi
say "all passed"
