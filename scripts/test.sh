#!/bin/bash
# test.sh - install what tests need, build, run every suite.
#
#   scripts/test.sh            everything: what CI runs
#   scripts/test.sh --quick    without the official clients, clang and fuzzing
#   scripts/test.sh -R NAME    only the tests whose name matches (ctest -R), sanitizer build
#
# The suites run in the asan build (AddressSanitizer, LeakSanitizer, UndefinedBehaviorSanitizer),
# the process and official-client tests on the same instrumented servers; then unit and process suites
# and one exchange of the official clients under ThreadSanitizer (`scripts/prove.sh tsan`: all of
# them). gcc and clang both build it with warnings as errors.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. scripts/packages.sh

# Nothing to race in these, and they take their time.
one_threaded='broker.state.model|clients.parse'
quick=no
filter=()
while [ $# -gt 0 ]; do
    case "$1" in
    --quick) quick=yes ;;
    -R) filter=(-R "$2"); shift ;;
    *) sed -n '2,12s/^# \{0,1\}//p' "$0"; [ "$1" = --help ] && exit 0; exit 2 ;;
    esac
    shift
done

began=$SECONDS
say() { printf '\n== %s (%ds)\n' "$*" $((SECONDS - began)); }

need_packages "${build_packages[@]}" "${test_packages[@]}"
# A published client's .proto files come from npm; any npm will do, Debian's brings half a thousand packages.
command -v npm >/dev/null || need_packages nodejs npm

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
ctest --preset asan -j2 -LE 'clients|bench'

if [ "$quick" = no ]; then
    say "official clients against the sanitized servers"
    ctest --preset asan -L clients

    build tsan
    say "unit and process suites, TSan"
    ctest --preset tsan -j2 -L 'unit|process' -E "$one_threaded"
    say "official clients against servers under TSan"
    ctest --preset tsan -R '^clients.dev$'

    build fuzz --target fuzzers
    say "fuzz targets, ${FUZZ_SECONDS:-60} s each, two at a time"
    tests/fuzz/run.py build/fuzz/bin --seconds "${FUZZ_SECONDS:-60}" --jobs 2
fi
say "all passed"
