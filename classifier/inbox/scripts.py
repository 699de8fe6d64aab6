"""What Redis does in one step for the queues: each script is atomic, and all keys share one slot.

Keys of a queue, behind a prefix `{NAME}:inbox` or `{NAME}:outbox`:
  stream   entries to claim, and those that are claimed: the consumer group's pending entries
  alone    the same for the quarantine lane
  later    handed back until a moment: a sorted set by due time
  held:O   entries that wait for an earlier one of their order O: a list
  busy     how many entries of each order are neither done nor dead
  alive    the keys of all entries that are neither done nor dead, by time of acceptance
  dead     dead letters: a stream that nobody reads as a group
  seen:K   a key that was put: a further put is a duplicate
and beside the queues, behind `{NAME}`:
  fact:K   what was remembered
Nothing is ever trimmed by length: MAXLEN destroys pending entries.
"""

from __future__ import annotations

# Fields of an entry: key, order, payload, accepted at (ms), crashes, tries.
_PRELUDE = """
local GROUP, NAMES = 'workers', {'k', 'o', 'p', 'a', 'c', 't'}
local function now_ms()
  local t = redis.call('TIME')
  return t[1] * 1000 + math.floor(t[2] / 1000)
end
local function fields(e)
  local list = {}
  for _, name in ipairs(NAMES) do list[#list + 1] = name; list[#list + 1] = tostring(e[name]) end
  return list
end
local function entry(list)
  local e = {}
  for i = 1, #list, 2 do e[list[i]] = list[i + 1] end
  e.c, e.t = tonumber(e.c), tonumber(e.t)
  return e
end
local function packed(e)
  return cmsgpack.pack(fields(e))
end
local function unpacked(bytes)
  return entry(cmsgpack.unpack(bytes))
end
local function add(stream, e, ...)
  local list = fields(e)
  for _, more in ipairs({...}) do list[#list + 1] = more end
  redis.call('XADD', stream, '*', unpack(list))
end
-- The first of an order may be claimed; the others wait for it.
local function admit(q, e)
  redis.call('ZADD', q .. ':alive', e.a, e.k)
  if e.o ~= '' and redis.call('HINCRBY', q .. ':busy', e.o, 1) > 1 then
    redis.call('RPUSH', q .. ':held:' .. e.o, packed(e))
  else
    add(q .. ':stream', e)
  end
end
local function release(q, e)
  redis.call('ZREM', q .. ':alive', e.k)
  if e.o == '' then return end
  if redis.call('HINCRBY', q .. ':busy', e.o, -1) <= 0 then
    redis.call('HDEL', q .. ':busy', e.o)
  end
  local next_one = redis.call('LPOP', q .. ':held:' .. e.o)
  if next_one then add(q .. ':stream', unpacked(next_one)) end
end
local function put(q, e, dedupe_ms)
  if not redis.call('SET', q .. ':seen:' .. e.k, '1', 'NX', 'PX', dedupe_ms) then return 0 end
  e.a, e.c, e.t = now_ms(), 0, 0
  admit(q, e)
  return 1
end
-- Takes an entry from its worker; nothing when its lease ran out and somebody else has it.
local function take(stream, id)
  local found = redis.call('XRANGE', stream, id, id)
  local held = redis.call('XACK', stream, GROUP, id) == 1
  if held and found[1] then
    redis.call('XDEL', stream, id)
    return entry(found[1][2])
  end
end
"""

# KEYS: stream and alone of both queues. Makes their groups, from the first entry on: `$` would
# skip a backlog.
OPEN = """
for _, stream in ipairs(KEYS) do
  local made = redis.pcall('XGROUP', 'CREATE', stream, 'workers', '0', 'MKSTREAM')
  if type(made) == 'table' and made.err and not string.find(made.err, 'BUSYGROUP') then
    return made
  end
end
"""

# KEYS: the queue. ARGV: dedupe_ms, then key, order and payload of each entry.
PUT = (
    _PRELUDE
    + """
local new = 0
for i = 2, #ARGV, 3 do
  new = new + put(KEYS[1], {k = ARGV[i], o = ARGV[i + 1], p = ARGV[i + 2]}, ARGV[1])
end
return new
"""
)

# KEYS: the queue. ARGV: lane, consumer, most, lease_ms, alone_after, dead_after, longest pause in
# ms. First what is due again and what dead workers held, whether or not anything new comes.
CLAIM = (
    _PRELUDE
    + """
local q, lane, consumer, most = KEYS[1], ARGV[1], ARGV[2], tonumber(ARGV[3])
local lease_ms, alone_after, dead_after = ARGV[4], tonumber(ARGV[5]), tonumber(ARGV[6])
local now = now_ms()
local function requeue(e)
  if e.c >= dead_after then
    add(q .. ':dead', e, 'r', 'crashed', 'd', tostring(now))
    release(q, e)
  else
    add(q .. (e.c >= alone_after and ':alone' or ':stream'), e)
  end
end
local function due(from, to)
  for _, bytes in ipairs(redis.call('ZRANGEBYSCORE', q .. ':later', from, to, 'LIMIT', 0, 64)) do
    redis.call('ZREM', q .. ':later', bytes)
    requeue(unpacked(bytes))
  end
end
due('-inf', now)
due('(' .. (now + ARGV[7]), '+inf') -- the clock was turned back
for _, stream in ipairs({q .. ':stream', q .. ':alone'}) do
  local stale = redis.call('XPENDING', stream, GROUP, 'IDLE', lease_ms, '-', '+', 64)
  for _, pending in ipairs(stale) do
    local e = take(stream, pending[1])
    if e then
      e.c = e.c + 1
      requeue(e)
    end
  end
end
local read = redis.call('XREADGROUP', 'GROUP', GROUP, consumer, 'COUNT', most, 'STREAMS', q .. ':' .. lane, '>')
return read and read[1][2] or {}
"""
)

# KEYS: the streams' names, one for each id. ARGV: consumer, then the ids. JUSTID starts the idle
# time anew without counting a delivery.
RENEW = """
for i, stream in ipairs(KEYS) do
  redis.call('XCLAIM', stream, 'workers', ARGV[1], 0, ARGV[i + 1], 'JUSTID')
end
"""

# KEYS: the queue, then the queue of each follow-up. ARGV: lane, id, dedupe_ms, then key, order and
# payload of each follow-up.
DONE = (
    _PRELUDE
    + """
local e = take(KEYS[1] .. ':' .. ARGV[1], ARGV[2])
if e then release(KEYS[1], e) end
for i = 2, #KEYS do
  local at = 4 + (i - 2) * 3
  put(KEYS[i], {k = ARGV[at], o = ARGV[at + 1], p = ARGV[at + 2]}, ARGV[3])
end
"""
)

# KEYS: the queue. ARGV: lane, id, pause in ms, 1 when it counts as a try.
AGAIN = (
    _PRELUDE
    + """
local e = take(KEYS[1] .. ':' .. ARGV[1], ARGV[2])
if e then
  e.c, e.t = 0, e.t + ARGV[4] -- who could hand it back did not die of it
  redis.call('ZADD', KEYS[1] .. ':later', now_ms() + ARGV[3], packed(e))
end
"""
)

# KEYS: the queue. ARGV: lane, id, reason.
BURY = (
    _PRELUDE
    + """
local e = take(KEYS[1] .. ':' .. ARGV[1], ARGV[2])
if e then
  add(KEYS[1] .. ':dead', e, 'r', ARGV[3], 'd', tostring(now_ms()))
  release(KEYS[1], e)
end
"""
)

# KEYS: the queue. Waiting, of these alone, claimed, dead, and the oldest entry's age in ms.
DEPTH = (
    _PRELUDE
    + """
local q = KEYS[1]
local alone = redis.call('XPENDING', q .. ':alone', GROUP)[1]
local claimed = redis.call('XPENDING', q .. ':stream', GROUP)[1] + alone
local oldest = redis.call('ZRANGE', q .. ':alive', 0, 0, 'WITHSCORES')
return {
  math.max(0, redis.call('ZCARD', q .. ':alive') - claimed),
  redis.call('XLEN', q .. ':alone') - alone,
  claimed,
  redis.call('XLEN', q .. ':dead'),
  oldest[2] and math.max(0, now_ms() - oldest[2]) or 0
}
"""
)

# KEYS: the queue. ARGV: most.
LETTERS = """
return redis.call('XRANGE', KEYS[1] .. ':dead', '-', '+', 'COUNT', ARGV[1])
"""

# KEYS: the queue. ARGV: id.
REVIVE = (
    _PRELUDE
    + """
local found = redis.pcall('XRANGE', KEYS[1] .. ':dead', ARGV[1], ARGV[1])
if found.err or not found[1] then return 0 end
redis.call('XDEL', KEYS[1] .. ':dead', ARGV[1])
local e = entry(found[1][2])
e.c, e.t = 0, 0
admit(KEYS[1], e)
return 1
"""
)

# KEYS: the queue. ARGV: id.
DROP = """
local dropped = redis.pcall('XDEL', KEYS[1] .. ':dead', ARGV[1])
return type(dropped) == 'number' and dropped or 0
"""

# KEYS: a fact. ARGV: its value, how long it holds in ms.
REMEMBER = """
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
"""

RECALL = """
return redis.call('GET', KEYS[1])
"""
