-- Records (RECORDS, a JSON row a line) in turn, in the words that a server wants them in (WRAP, with %s for the row).
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
local key = os.getenv("KEY")
if key then wrk.headers["Authorization"] = "Bearer " .. key end
local wrap, requests, place = os.getenv("WRAP"), {}, 0
init = function()
  for line in io.lines(os.getenv("RECORDS")) do
    requests[#requests + 1] = wrk.format(nil, os.getenv("ROUTE") or "/v1/predict", nil, wrap and string.format(wrap, line) or line)
  end
end
request = function()
  place = place % #requests + 1
  return requests[place]
end
done = function(summary, latency, requests)
  local bad = summary.errors.status + summary.errors.read + summary.errors.connect + summary.errors.timeout + summary.errors.write
  io.write(string.format('{"requests_per_s": %.1f, "p50_ms": %.3f, "p99_ms": %.3f, "errors": %d, "requests": %d}\n',
    (summary.requests - summary.errors.status) / (summary.duration / 1e6), latency:percentile(50) / 1000, latency:percentile(99) / 1000, bad, summary.requests))
end
