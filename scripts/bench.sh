#!/bin/bash
# bench.sh - Skua against a bare gRPC echo and its own targets, in one run; prints the tables of
# docs/benchmarks.md.
#
#   scripts/bench.sh [--only GROUP,...] [--repetitions N] [--seconds S] [--pin] [-o json] [--json FILE]
#   scripts/bench.sh --peers ...     Apache RocketMQ 5.5, too: fetched by Maven, needs 10 GiB of memory
#
# The whole takes about 12 minutes, with peers 20. Groups: send, batch, receive, latency, topics,
# backlog, start, idle; tests/bench/bench.py --help says more.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. scripts/packages.sh

words=()
for word in "$@"; do
    if [ "$word" != --peers ]; then
        words+=("$word")
        continue
    fi
    jars=${SKUA_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/skua}/apache-rocketmq
    need_packages default-jdk-headless maven
    words+=(--peers "$jars")
done
need_packages "${build_packages[@]}" python3
{
    cmake --preset release
    cmake --build --preset release
    cmake --build --preset release --target bench-tools
} >&2
exec python3 tests/bench/bench.py build/release/bin "${words[@]}"
