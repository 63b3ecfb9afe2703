-- Buckets of one call: KEYS[i] holds bucket i as a hash. Times are microseconds of
-- the server's clock, unless the caller brings one.
--
-- ARGV: op ("take", "settle", "renew"), now ("" is the server's clock), process,
-- then for each key: shape, limit, burst, window, cost, used, mark.
--
-- take answers {index of the refused key or 0, its wait, marks...}, the others {0}.
local op, now, process = ARGV[1], tonumber(ARGV[2]), ARGV[3]
if not now then
  local t = redis.call('TIME')
  now = tonumber(t[1]) * 1000000 + tonumber(t[2])
end
local RATE, PERIOD, LEVEL = 1, 2, 3
local alive = 30000000 -- how long a process counts that has not been heard of
local guess = 1000000

local function text(n) return string.format('%.17g', n) end

local function load(i)
  local at = 3 + (i - 1) * 7
  local b = {
    key = KEYS[i], shape = tonumber(ARGV[at + 1]), limit = tonumber(ARGV[at + 2]), burst = tonumber(ARGV[at + 3]),
    window = tonumber(ARGV[at + 4]), cost = tonumber(ARGV[at + 5]), spent = tonumber(ARGV[at + 6]), mark = tonumber(ARGV[at + 7]),
  }
  if b.shape == LEVEL then
    b.total, b.mine = 0, 0
    local all = redis.call('HGETALL', b.key)
    for j = 1, #all, 2 do
      local n, till = string.match(all[j + 1], '^(%d+) (%d+)$')
      n, till = tonumber(n), tonumber(till)
      if not n or till <= now then
        redis.call('HDEL', b.key, all[j])
      else
        b.total = b.total + n
        if all[j] == process then b.mine = n end
      end
    end
    return b
  end
  local held = redis.call('HMGET', b.key, 'n', 't')
  local n, t = tonumber(held[1]), tonumber(held[2])
  if b.shape == PERIOD then
    b.window_now = math.floor(now / b.window)
    b.n = 0
    if n and t == b.window_now then b.n = n end
    return b
  end
  b.fill = b.limit / b.window
  b.n = math.min((n or b.burst) + math.max(0, now - (t or now)) * b.fill, b.burst)
  return b
end

local function keep(b)
  if b.shape == LEVEL then
    if b.mine <= 0 then
      redis.call('HDEL', b.key, process)
    else
      redis.call('HSET', b.key, process, string.format('%d %.0f', b.mine, now + alive))
    end
    redis.call('PEXPIRE', b.key, 2 * alive / 1000)
  elseif b.shape == PERIOD then
    redis.call('HSET', b.key, 'n', text(b.n), 't', text(b.window_now))
    redis.call('PEXPIRE', b.key, math.ceil(b.window / 1000) + 1000)
  else
    redis.call('HSET', b.key, 'n', text(b.n), 't', text(now))
    -- as good as new when it is full again
    local full = b.fill > 0 and (b.burst - b.n) / b.fill or b.window
    redis.call('PEXPIRE', b.key, math.ceil(math.min(full, 30 * 86400 * 1000000) / 1000) + 1000)
  end
end

local buckets = {}
for i = 1, #KEYS do buckets[i] = load(i) end

if op == 'take' then
  local refused, longest = 0, 0
  for i, b in ipairs(buckets) do
    local wait = 0
    if b.shape == LEVEL then
      if b.total + b.cost > b.limit then wait = guess end
    elseif b.shape == PERIOD then
      if b.n >= b.limit then wait = (b.window_now + 1) * b.window - now end
    else
      local need, hair = math.min(1, b.cost), 0.000001 -- what sums of fractions may be off
      if b.limit <= 0 then
        wait = b.window
      elseif b.n < need - hair then
        wait = math.ceil((need - b.n) / b.fill)
      end
    end
    if wait > longest then refused, longest = i, wait end
  end
  local answer = { refused, string.format('%.0f', longest) }
  if refused > 0 then return answer end
  for i, b in ipairs(buckets) do
    if b.shape == LEVEL then
      b.mine = b.mine + b.cost
    elseif b.shape == PERIOD then
      b.n = b.n + b.cost
      answer[2 + i] = string.format('%.0f', b.window_now)
    else
      b.n = b.n - b.cost
    end
    answer[2 + i] = answer[2 + i] or '0'
    keep(b)
  end
  return answer
end

for _, b in ipairs(buckets) do
  if op == 'renew' then -- cost is all that the process holds
    b.mine = b.cost
    keep(b)
  elseif b.shape == LEVEL then
    b.mine = b.mine - b.cost
    keep(b)
  elseif b.shape == PERIOD then
    if b.window_now == b.mark then -- what is over counts no more
      b.n = math.max(0, b.n + b.spent - b.cost) -- the server may have lost what was taken
      keep(b)
    end
  else
    b.n = math.min(b.n + b.cost - b.spent, b.burst)
    keep(b)
  end
end
return { 0 }
