"""What a process and Redis tell each other about the day's money: one atomic script.

A process reports totals, not differences: whatever was lost on the way (a reply, or the whole
Redis) is put right by the next report. The sum over all processes is what counts against the cap.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from classifier.budget.account import Claim, Shared
from classifier.ports import Store

# KEYS: the day. ARGV: process, number of the report, life of the key in ms; then for every scope its
# name, booked, spent, cap, need, want. A late report that a newer one has overtaken changes nothing.
# Near the end slices shrink to a quarter of what is left, so that little is stranded in them.
_REPORT = """
local day, who, number = KEYS[1], ARGV[1], tonumber(ARGV[2])
local newest = tonumber(redis.call('HGET', day, 'number|' .. who) or '-1')
if number <= newest then return {} end
redis.call('HSET', day, 'number|' .. who, ARGV[2])
local function total(kind, scope, mine)
  local field = kind .. '|' .. scope
  local before = tonumber(redis.call('HGET', day, field .. '|' .. who) or '0')
  redis.call('HSET', day, field .. '|' .. who, string.format('%.0f', mine))
  local sum = tonumber(redis.call('HGET', day, field) or '0') - before + mine
  redis.call('HSET', day, field, string.format('%.0f', sum))
  return sum
end
local told = {}
for i = 4, #ARGV, 6 do
  local scope, booked, spent = ARGV[i], tonumber(ARGV[i + 1]), tonumber(ARGV[i + 2])
  local cap, need, want = tonumber(ARGV[i + 3]), tonumber(ARGV[i + 4]), tonumber(ARGV[i + 5])
  local free = math.max(0, cap - total('booked', scope, booked))
  local given = math.min(free, want, math.max(need, math.floor(free / 4)))
  told[#told + 1] = given
  told[#told + 1] = total('booked', scope, booked + given)
  told[#told + 1] = total('spent', scope, spent)
end
redis.call('PEXPIRE', day, ARGV[3])
return told
"""
_LIFE_MS = str(3 * 86_400_000)  # a day, and time to look at it


async def report(
    store: Store, key: str, process: str, number: int, claims: Mapping[str, Claim]
) -> dict[str, Shared] | None:
    """What Redis grants; None when it did not answer, nothing when it knew a newer report already.

    So it is with one that was sent twice because its reply was lost. `number` rises with every
    report of a process.
    """
    words = [process, str(number), _LIFE_MS]
    for scope, claim in claims.items():
        amounts = (claim.booked, claim.spent, claim.cap, claim.need, claim.want)
        words += [scope, *map(str, amounts)]
    told = await store.run("budget", _REPORT, (key,), words)
    return _read(told, list(claims))


def _read(told: Any, scopes: list[str]) -> dict[str, Shared] | None:
    if told == []:
        return {}
    if not isinstance(told, list) or len(told) != 3 * len(scopes):
        return None
    return {scope: Shared(*told[3 * i : 3 * i + 3]) for i, scope in enumerate(scopes)}
