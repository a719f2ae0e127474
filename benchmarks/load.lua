-- Sends bodies in turn, each made unlike any before by a counter, and prints one line of JSON at the end.
-- Arguments: the file of requests, the first number of the counter. The file has "kind count", then for each request
-- "bytes-before bytes-after" on a line and, behind the lines, the bytes themselves; kind is text, binary or same.

local before, after, count, turn, number, kind = {}, {}, 0, 0, 0, "same"

function init(args)
  local file = assert(io.open(args[1], "rb"))
  local sizes = {}
  kind, count = file:read("*l"):match("(%a+) (%d+)")
  count = tonumber(count)
  for index = 1, count do
    local first, second = file:read("*l"):match("(%d+) (%d+)")
    sizes[index] = { tonumber(first), tonumber(second) }
  end
  for index = 1, count do
    before[index] = sizes[index][1] > 0 and file:read(sizes[index][1]) or ""
    after[index] = sizes[index][2] > 0 and file:read(sizes[index][2]) or ""
  end
  file:close()
  number = tonumber(args[2])
end

local function six_bytes(value)
  local bytes = {}
  for place = 1, 6 do
    bytes[place] = string.char(value % 256)
    value = math.floor(value / 256)
  end
  return table.concat(bytes)
end

function request()
  turn = turn % count + 1
  if kind == "same" then return before[turn] end
  number = number + 1
  if kind == "binary" then return before[turn] .. six_bytes(number) .. after[turn] end
  return before[turn] .. string.format("%09d", number % 1000000000) .. after[turn]
end

function done(summary, latency, requests)
  local errors = summary.errors
  io.write(string.format(
    '\n{"requests": %d, "seconds": %.6f, "p50_us": %.1f, "p99_us": %.1f, "connect": %d, "read": %d, "write": %d, "timeout": %d, "status": %d}\n',
    summary.requests, summary.duration / 1e6, latency:percentile(50), latency:percentile(99),
    errors.connect, errors.read, errors.write, errors.timeout, errors.status))
end
