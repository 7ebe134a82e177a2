#!/bin/bash
# quickstart.sh - from a bare Debian 12 to acknowledged messages, in one command.
#
#   scripts/quickstart.sh          build, start a broker, send, receive, stop
#   scripts/quickstart.sh --keep   the same, and leave the broker running in the foreground
#
# Everything it starts lives in a fresh temporary directory and on a free port.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. scripts/packages.sh

keep=no
case "${1:-}" in
--keep) keep=yes ;;
"") ;;
*)
    sed -n '2,8s/^# \{0,1\}//p' "$0"
    [ "$1" = --help ] && exit 0
    exit 2
    ;;
esac

need_packages "${build_packages[@]}"

echo "Building (release) ..."
log=$(mktemp)
if ! { cmake --preset release && cmake --build --preset release; } >"$log" 2>&1; then
    tail -40 "$log"
    echo "The build failed; the whole log is in $log"
    exit 1
fi
rm -f "$log"

work=$(mktemp -d)
skua=build/release/bin/skua
broker=

stop() {
    if [ -n "$broker" ] && kill -0 "$broker" 2>/dev/null; then
        kill -TERM "$broker"
        wait "$broker" || true
    fi
    rm -rf "$work"
}
trap stop EXIT

# Show a command as it would be typed, then run it.
run() {
    printf '\n$ skua %s\n' "$*"
    "$skua" "$@"
}

printf '\n$ skua dev --listen 127.0.0.1:0 --data %s\n' "$work/data"
"$skua" dev --listen 127.0.0.1:0 --data "$work/data" >"$work/out" 2>"$work/err" &
broker=$!

for _ in $(seq 100); do
    grep -q '^ready ' "$work/out" && break
    kill -0 "$broker" 2>/dev/null || break
    sleep 0.1
done
if ! grep '^ready ' "$work/out"; then
    cat "$work/err"
    echo "The broker did not start."
    exit 1
fi
address=$(sed -n 's/^ready .*\blisten=\([^ ]*\).*/\1/p' "$work/out" | head -1)
export NAMESRV_ADDR="$address"
echo "\$ export NAMESRV_ADDR=$address"

run topic create hello --queues 4
run group create readers
run send hello --body "first message" --tag greeting --key k-1
run send hello --body "more of them" --count 9
run topic describe hello
run receive hello --group readers --count 10 --wait 5
run group describe readers

if [ "$keep" = yes ]; then
    printf '\nThe broker goes on at %s; stop it with Ctrl-C.\n' "$address"
    trap 'kill -TERM "$broker" 2>/dev/null' INT TERM
    wait "$broker" || true
    broker=
    exit 0
fi

echo
echo "Stopping the broker ..."
kill -TERM "$broker"
status=0
wait "$broker" || status=$?
broker=
[ "$status" = 0 ] || { cat "$work/err"; echo "The broker ended with status $status."; exit 1; }
echo "Done. Everything worked."
