#!/usr/bin/env bash
# Requests a second of single-row JSON over 64 connections, in turn: the bare handler, Ceiba with keys, and its peers.
# Servers whose turn it is not stand still.
# single.sh EXPORTED TRAINED RECORDS.jsonl PEERS [seconds] [rounds]: two bundles, rows, and an environment's folder with
# Ceiba and peers.txt in it. MORE names another with bentoml and mlflow, which want other versions, RAY one with
# ray[serve]. Needs wrk.
set -u
here=$(cd "$(dirname "$0")" && pwd); export PYTHONPATH=$here:$here/../.. RECORDS=$3 OMP_NUM_THREADS=1
seconds=${5:-4} rounds=${6:-3} python=$here/../../.venv/bin/python work=$(mktemp -d) jobs="" more=${MORE:-} ray=${RAY:-}
cd "$work"
begin() {  # NAME WORDS...: in a process group of its own, which ends as one
  setsid "${@:2}" > "$1.log" 2>&1 & jobs="$jobs $!"; declare -g "group_$1=$!"
}
turn() { local group="group_$2"; kill -"$1" -- -"${!group}"; }  # STOP or CONT, NAME
uvicorn="--loop uvloop --http httptools --no-access-log"
$python -m ceiba keys create --keys keys.json > key.txt
export BUNDLE=$1
begin bare "$4/bin/python" -m uvicorn bare:app $uvicorn --port 8151
begin ceiba "$python" -m ceiba serve adult="$1" --port 8152 --keys keys.json
export BUNDLE=$2
begin fastapi "$4/bin/python" -m uvicorn peer_fastapi:app $uvicorn --port 8153
begin litserve "$4/bin/python" "$here/peer_litserve.py" 8154
servers="bare:8151 ceiba:8152 fastapi:8153 fastapi_threads:8153 litserve:8154"; group_fastapi_threads=$group_fastapi
if [ -n "$more" ]; then
  begin bentoml "$more/bin/bentoml" serve peer_bentoml:Adult --port 8155 --working-dir "$here"
  PATH=$more/bin:$PATH "$more/bin/python" "$here/peer_mlflow.py" saved > saved.log 2>&1
  PATH=$more/bin:$PATH begin mlflow "$more/bin/mlflow" models serve -m saved --env-manager local --port 8156 --workers 1
  servers="$servers bentoml:8155 mlflow:8156"
fi
if [ -n "$ray" ]; then
  begin ray "$ray/bin/python" "$here/peer_ray.py" 8157
  servers="$servers ray:8157"
fi
for pair in $servers; do
  for _ in $(seq 600); do [ "$(curl -s -o /dev/null -w '%{http_code}' localhost:${pair##*:}/docs)" != 000 ] && break; sleep 0.1; done
done
sleep 2
for pair in $servers; do turn STOP "${pair%%:*}"; done
for round in $(seq "$rounds"); do
  for pair in $servers; do
    turn CONT "${pair%%:*}"; sleep 0.5
    unset KEY ROUTE WRAP
    [ "${pair%%:*}" = ceiba ] && export KEY=$(cat key.txt)
    [ "${pair%%:*}" = fastapi_threads ] && export ROUTE=/threads/predict
    [ "${pair%%:*}" = mlflow ] && export ROUTE=/invocations WRAP='{"dataframe_records": [%s]}'
    echo "${pair%%:*} $(wrk -t1 -c64 -d"${seconds}s" -s "$here/adult.lua" --latency "http://127.0.0.1:${pair##*:}" | tail -1)"
    turn STOP "${pair%%:*}"
  done
done
for job in $jobs; do kill -CONT -- -$job; kill -- -$job; done 2>/dev/null; wait 2>/dev/null
grep -H -i -m2 -E "error|exception" ./*.log | head -5
rm -r "$work"
