#!/bin/bash
# prove.sh - the long form of the evidence: what scripts/test.sh checks in minutes, taken as far as it goes.
#
#   scripts/prove.sh              every proof below, then a table of what was counted
#   scripts/prove.sh NAME...      only these
#   scripts/prove.sh --list       their names, and how long each takes on two cores
#
# A proof is a program that ends 0 only if all of it held, and whose last line says what it counted.
# Its whole output stays in build/proof/NAME.log.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. scripts/packages.sh

# name | about how long | what
proofs='
powercut | 4 min  | the power cut at every operation, every image that the sync contract allows recovered
faults   | 6 min  | every disk call fails once, in every way it can, through every workload of store and broker
rot      | 4 min  | every bit of a small store flipped; blocks, files and directories of the wrong kind
kill9    | 25 min | 200 rounds of kill -9 under load: nothing acknowledged is lost, no offset is reused
pair     | 2 min  | 200 rounds of two stores, one streaming into the other, both killed -9: a prefix each time
model    | 2 min  | the state machine against a naive model: 1,000,000 operations, and 500,000 that nobody saw before
mutants  | 10 min | small bugs, one after the other: every one is caught by the suites that are there for it
fuzz     | 60 min | every fuzz target, FUZZ_SECONDS (600) each: nothing breaks, leaks or grows
tsan     | 12 min | unit, process and official-client suites under ThreadSanitizer, three times over
soak     | 22 min | twenty minutes of a steady life with comings and goings: nothing grows, nothing is lost
coverage |  4 min | line coverage of libstore, libroute, broker/state and api/rpc: 90 % each, the rest explained
'

build() {
    cmake --preset "$1" >/dev/null
    cmake --build --preset "$@" | { grep -vE '^\[[0-9]+/[0-9]+\]' || true; }
}

# A build whose suites are fast: optimized, with all assertions, without sanitizers.
build_optimized() {
    cmake -S . -B build/optimized -G Ninja -DCMAKE_BUILD_TYPE=RelWithDebInfo >/dev/null
    cmake --build build/optimized -j2 --target "$@" | { grep -vE '^\[[0-9]+/[0-9]+\]' || true; }
}

prove_faults() {
    build asan
    build_optimized test.libstore.fault test.libstore.fault_every test.libstore.fault_follow
    build/optimized/tests/test.libstore.fault
    {
        SKUA_PROVE=1 build/optimized/tests/test.libstore.fault_every
        SKUA_PROVE=1 build/optimized/tests/test.libstore.fault_follow
        SKUA_PROVE=1 build/asan/tests/test.services.broker.faults
        python3 tests/process/full_disk.py build/asan/bin
    } | tee build/proof/faults.counted
    awk '/ cases$/ { for (i = 1; i < NF; i++) if ($(i + 1) == "cases") n += $i }
         END { print n " (call, error, way to fail) cases: told or true" }' build/proof/faults.counted
}

prove_rot() {
    build asan
    build_optimized test.libstore.rot test.libstore.rot_matrix
    {
        SKUA_PROVE=1 build/optimized/tests/test.libstore.rot
        build/optimized/tests/test.libstore.rot_matrix
        python3 tests/process/rot.py build/asan/bin
    } | tee build/proof/rot.counted
    awk '/ flipped:/ { bits = $1 } / cases;/ { for (i = 1; i < NF; i++) if ($(i + 1) == "cases;") n += $i }
         / kinds of damage/ { kinds = $1 }
         END { print bits " bits flipped, " n " blocks and files damaged, " kinds " kinds of damage to a directory: told or harmless" }' build/proof/rot.counted
}

# How long a start after a kill takes is a figure, from a release build: docs/benchmarks.md has the target.
prove_kill9() {
    scripts/bench.sh --only start --repetitions 9 || echo "start to first ack: not measured, or above its target"
    build asan
    python3 tests/process/kill9.py build/asan/bin build/asan/tests/workload 200 both
}

prove_pair() {
    build_optimized pair_kill
    build/optimized/tests/pair_kill 200 "$(date +%s)"
}

# Optimized programs, whatever the preset.
prove_powercut() {
    build asan
    local lines
    lines=$(build/asan/tests/powercut.store --deep --jobs 2 --seeds 60 &&
            build/asan/tests/powercut.follow --deep --jobs 2 --seeds 30 &&
            build/asan/tests/powercut.broker --deep --jobs 2 --seeds 240)
    echo "$lines"
    awk '{ images += $11; distinct += $13; second += $15; recoveries += $18 }
         END { printf "%d images, %d of them distinct; %d second-level images; %d recoveries\n",
                      images, distinct, second, recoveries; exit distinct < 1000000 }' <<<"$lines"
}

prove_model() {
    build asan
    local fresh
    fresh=$(date +%s)
    echo "fresh seeds begin with $fresh"
    SKUA_MODEL_SEED=$fresh SKUA_MODEL_RUNS=100 build/asan/tests/test.broker.state.model
    SKUA_MODEL_RUNS=200 build/asan/tests/test.broker.state.model | tee build/proof/model.last
    grep ' agree with the model' build/proof/model.last
}

prove_mutants() {
    python3 tests/mutants/run.py
}

prove_fuzz() {
    build fuzz --target fuzzers
    tests/fuzz/run.py build/fuzz/bin --seconds "${FUZZ_SECONDS:-600}" --jobs 2
}

# A rare race needs more than one chance: the suites with threads run three times.
prove_tsan() {
    build tsan
    local threaded=(-L 'unit|process' -E 'broker.state.(model|buried)|clients.parse')
    ctest --test-dir build/tsan -j2 "${threaded[@]}" --repeat until-fail:3 --output-on-failure
    tests/clients/install.sh >/dev/null
    ctest --test-dir build/tsan -L clients --output-on-failure
    echo "no race in three runs of $(ctest --test-dir build/tsan -N "${threaded[@]}" | tail -1 | tr -dc 0-9)" \
         "suites and in the official clients' scenarios"
}

prove_soak() {
    build release
    tests/clients/install.sh >/dev/null
    python3 tests/process/soak.py build/release/bin 1200 node,python,go,java
}

prove_coverage() {
    build coverage
    find build/coverage -name '*.gcda' -delete
    ctest --test-dir build/coverage -j2 -L 'unit|process' --output-on-failure
    python3 scripts/coverage.py build/coverage
}

names() { sed -n 's/^\([a-z0-9_]*\) *|.*/\1/p' <<<"$proofs"; }
about() { sed -n "s/^$1 *| *\([^|]*[^ |]\) *| *\(.*\)/\1\t\2/p" <<<"$proofs"; }

case "${1:-}" in
--list) for name in $(names); do printf '%-10s %s\n' "$name" "$(about "$name")"; done; exit ;;
-*) sed -n '2,9s/^# \{0,1\}//p' "$0"; [ "$1" = --help ] && exit 0; exit 2 ;;
esac

chosen=("$@")
[ $# -gt 0 ] || mapfile -t chosen < <(names)
for name in "${chosen[@]}"; do
    names | grep -qx "$name" || { echo "no proof is called $name; they are: $(names | tr '\n' ' ')" >&2; exit 2; }
done
need_packages "${build_packages[@]}" "${test_packages[@]}"

mkdir -p build/proof
table=()
failed=0
for name in "${chosen[@]}"; do
    log=build/proof/$name.log
    printf '\n== %s: %s\n' "$name" "$(about "$name" | cut -f2)"
    began=$SECONDS
    # A subshell of its own, so that set -e holds inside although we look at how it ends.
    set +e
    (set -e; "prove_$name") 2>&1 | tee "$log"
    ended=${PIPESTATUS[0]}
    set -e
    verdict=held
    [ "$ended" -eq 0 ] || { verdict="FAILED ($ended)"; failed=1; }
    table+=("$(printf '%-10s %-12s %6ds  %s' "$name" "$verdict" $((SECONDS - began)) "$(tail -1 "$log")")")
done

printf '\n%-10s %-12s %7s  %s\n' proof verdict time counted
printf '%s\n' "${table[@]}"
exit "$failed"
