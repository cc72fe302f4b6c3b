-- Sends the bodies of a file in turn, checks every answer, and prints one line of JSON for benchmarks/load.py.
-- Arguments: path, key, expected text, file of bodies (one a line).
local threads, requests, sent, expected = {}, {}, 0, ""
wrong = 0 -- global, so that done() can ask each thread for it

function setup(thread)
  table.insert(threads, thread)
end

function init(args)
  local path, key, file = args[1], args[2], args[4]
  expected = args[3]
  local headers = { ["Content-Type"] = "application/json", ["Authorization"] = "Bearer " .. key }
  for body in io.lines(file) do
    table.insert(requests, wrk.format("POST", path, headers, body))
  end
end

function request()
  sent = sent + 1
  return requests[sent % #requests + 1]
end

function response(status, _, body)
  if status < 200 or status > 299 or not body:find(expected, 1, true) then
    wrong = wrong + 1
  end
end

function done(summary, latency)
  local e = summary.errors
  local failed = e.connect + e.read + e.write + e.timeout
  for _, thread in ipairs(threads) do
    failed = failed + thread:get("wrong")
  end
  io.write(string.format('{"answers": %d, "seconds": %.6f, "p50": %.3f, "p99": %.3f, "failed": %d}\n',
    summary.requests, summary.duration / 1e6, latency:percentile(50) / 1e3, latency:percentile(99) / 1e3, failed))
end
