#!/usr/bin/env bash
# Requests a second of single-row JSON over 64 connections, in turn: the bare handler, Ceiba with keys, FastAPI, LitServe.
# single.sh EXPORTED TRAINED RECORDS.jsonl PEERS_PYTHON [seconds] [rounds]; needs wrk
set -u
here=$(cd "$(dirname "$0")" && pwd); export PYTHONPATH=$here:$here/../.. RECORDS=$3 OMP_NUM_THREADS=1
seconds=${5:-4} rounds=${6:-3} python=$here/../../.venv/bin/python work=$(mktemp -d)
cd "$work"
$python -m ceiba keys create --keys keys.json > key.txt
BUNDLE=$1 $python -m uvicorn bare:app --loop uvloop --http httptools --port 8151 --no-access-log > bare.log 2>&1 & jobs="$!"
$python -m ceiba serve adult="$1" --port 8152 --keys keys.json > ceiba.log 2>&1 & jobs="$jobs $!"
BUNDLE=$2 $4 -m uvicorn peer_fastapi:app --loop uvloop --http httptools --port 8153 --no-access-log > fastapi.log 2>&1 & jobs="$jobs $!"
BUNDLE=$2 setsid $4 "$here/peer_litserve.py" 8154 > litserve.log 2>&1 & lit=$!
for port in 8151 8152 8153 8154; do
  for _ in $(seq 300); do [ "$(curl -s -o /dev/null -w '%{http_code}' localhost:$port/docs)" != 000 ] && break; sleep 0.1; done
done
sleep 2
for round in $(seq "$rounds"); do
  for pair in bare:8151 ceiba:8152 fastapi:8153 litserve:8154; do
    [ "${pair%%:*}" = ceiba ] && export KEY=$(cat key.txt) || unset KEY
    echo "${pair%%:*} $(wrk -t1 -c64 -d"${seconds}s" -s "$here/adult.lua" --latency "http://127.0.0.1:${pair##*:}" | tail -1)"
  done
done
kill $jobs; kill -- -$lit 2>/dev/null; wait 2>/dev/null
grep -h -i -m2 "error" ./*.log | head -5
rm -r "$work"
