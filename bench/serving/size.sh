#!/usr/bin/env bash
# What the base installation takes on disk, beside an empty environment. size.sh [PYTHON]
set -eu
source=$(cd "$(dirname "$0")/../.." && pwd) work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/source" && cp -r "$source"/{ceiba,pyproject.toml,README.md,LICENSE} "$work/source"
"${1:-python3}" -m venv "$work/base"
empty=$(du -sk "$work/base" | cut -f1)
"$work/base/bin/pip" install -q "$work/source" -c "$source/constraints.txt" 2> /dev/null
whole=$(du -sk "$work/base" | cut -f1)
echo "{\"empty_mib\": $((empty / 1024)), \"base_mib\": $(((whole - empty) / 1024)), \"largest\": \"$(
  du -sm "$work"/base/lib/python*/site-packages/* | sort -rn | head -6 | awk '{sub(".*/", "", $2); printf "%s %s, ", $2, $1}')\"}"
