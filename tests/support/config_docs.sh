#!/bin/sh
# config_docs.sh PROGRAM PAGE [--update]: does PAGE hold what PROGRAM --print-config-docs
# prints, between "<!-- begin NAME -->" and "<!-- end NAME -->"? With --update it is put
# there (at the end of the page if the marks are not there yet).
set -eu
program=$1 page=$2 update=${3:-}
name=$(basename "$program")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

"$program" --print-config-docs > "$work/want"
awk -v b="<!-- begin $name -->" -v e="<!-- end $name -->" \
    '$0 == e {inside = 0} inside {print} $0 == b {inside = 1}' "$page" > "$work/have"

if cmp -s "$work/want" "$work/have"; then
    echo "ok: $page says what $name --print-config-docs says"
    exit 0
fi
if [ "$update" != --update ]; then
    diff "$work/have" "$work/want" || true
    echo "$page differs from $name --print-config-docs; run: tests/support/config_docs.sh PROGRAM PAGE --update"
    exit 1
fi
grep -qx "<!-- begin $name -->" "$page" ||
    printf '\n<!-- begin %s -->\n<!-- end %s -->\n' "$name" "$name" >> "$page"
awk -v b="<!-- begin $name -->" -v e="<!-- end $name -->" -v f="$work/want" \
    '$0 == e {inside = 0} !inside {print}
     $0 == b {inside = 1; while ((getline line < f) > 0) print line}' "$page" > "$work/page"
cat "$work/page" > "$page"
echo "updated: $page"
