#!/bin/bash
# bench.sh - Skua against a bare gRPC echo in the same run; prints the table of docs/benchmarks.md.
#
#   scripts/bench.sh [--repetitions N] [--seconds S] [--json FILE]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. scripts/packages.sh
need_packages "${build_packages[@]}" python3
{
    cmake --preset release
    cmake --build --preset release
    cmake --build --preset release --target bench-echo bench-load bench-make-request
} >/dev/null
exec python3 tests/bench/bench.py build/release/bin "$@"
