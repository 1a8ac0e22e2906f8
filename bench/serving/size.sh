#!/usr/bin/env bash
# What the base installation takes beside an empty environment, in MB (10^6 bytes) of files and MiB on disk: as pip
# installs it, without bytecode (as uv does, or pip --no-compile), and as the container file does. size.sh [PYTHON]
set -eu
source=$(cd "$(dirname "$0")/../.." && pwd) work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/source" && cp -r "$source"/{ceiba,pyproject.toml,README.md,LICENSE} "$work/source"
find "$work/source" -name __pycache__ -prune -exec rm -r {} +
measure() { # NAME OPTIONS...
  local name=$1 bytes blocks; shift
  "$python" -m venv "$work/$name"
  bytes=$(du -sb "$work/$name" | cut -f1) blocks=$(du -sk "$work/$name" | cut -f1)
  "$work/$name/bin/pip" install -q "$@" "$work/source" -c "$source/constraints.txt" 2> /dev/null
  bytes=$(($(du -sb "$work/$name" | cut -f1) - bytes)) blocks=$(($(du -sk "$work/$name" | cut -f1) - blocks))
  echo "{\"as\": \"$name\", \"mb\": $((bytes / 1000000)), \"mib_on_disk\": $((blocks / 1024)), \"largest_mib\": \"$(
    du -sm "$work/$name"/lib/python*/site-packages/* | sort -rn | head -6 | awk '{sub(".*/", "", $2); printf "%s %s, ", $2, $1}')\"}"
}
python=${1:-python3}
measure pip
measure no-bytecode --no-compile
measure container --no-deps -r "$source/docs/serving/requirements.txt"
measure container-no-bytecode --no-compile --no-deps -r "$source/docs/serving/requirements.txt"
