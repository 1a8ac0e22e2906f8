#!/usr/bin/env bash
# Requests that schemathesis makes from the server's own OpenAPI page: no fault of the server, no answer that the page
# does not tell of, no bad row taken, no good one refused. schema.sh BUNDLE SCHEMATHESIS [seconds]; the second is the
# command in an environment where `pip install schemathesis` was run. For a model of tables or texts: that a file must
# be an image, a schema cannot tell.
set -eu
python=$(cd "$(dirname "$0")/../.." && pwd)/.venv/bin/python bundle=$(realpath "$1") command=$(realpath "$2") work=$(mktemp -d)
cd "$work"  # where schemathesis keeps what it found
"$python" -m ceiba serve "model=$bundle" --open --port 0 2> log & server=$!
trap 'kill $server; rm -r "$work"' EXIT
until grep -q " at http" log; do sleep 0.1; done
"$command" run "$(grep -o -m1 'http://[0-9.:]*' log)/openapi.json" --max-time "${3:-60}" --seed 1 --checks \
  not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance,negative_data_rejection,positive_data_acceptance,unsupported_method
