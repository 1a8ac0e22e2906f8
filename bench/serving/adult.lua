-- The same record over and over, or a file of records in turn (RECORDS, a JSON row a line).
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
local key = os.getenv("KEY")
if key then wrk.headers["Authorization"] = "Bearer " .. key end
local bodies, place = {}, 0
for line in io.lines(os.getenv("RECORDS")) do bodies[#bodies + 1] = line end
request = function()
  place = place % #bodies + 1
  return wrk.format(nil, os.getenv("ROUTE") or "/v1/predict", nil, bodies[place])
end
done = function(summary, latency, requests)
  local bad = summary.errors.status + summary.errors.read + summary.errors.connect + summary.errors.timeout + summary.errors.write
  io.write(string.format('{"requests_per_s": %.1f, "p50_ms": %.3f, "p99_ms": %.3f, "errors": %d, "requests": %d}\n',
    summary.requests / (summary.duration / 1e6), latency:percentile(50) / 1000, latency:percentile(99) / 1000, bad, summary.requests))
end
