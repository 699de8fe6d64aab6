"""What the cache asks of Redis, in Lua: each is atomic and one round trip.

A *turn* is a key beside the answer's that says which process is asking a model for it. It expires
by itself, so that a process that dies holds up nobody for longer than that.
"""

from __future__ import annotations

NOBODYS, OURS, ANOTHERS = 0, 1, 2


def turn_key(key: str) -> str:
    """In braces, so that a cluster keeps it on the answer's own node."""
    return f"classifier:turn:{{{key}}}"


# KEYS: answer, turn. ARGV: our token, how long a turn lasts in ms (0: none is taken).
# {answer, ms left}, or whose turn it is. A server that takes no writes has turns for nobody.
LOOK_UP = """
local answer = redis.call('GET', KEYS[1])
if answer then return {answer, redis.call('PTTL', KEYS[1])} end
if ARGV[2] == '0' then return 0 end
local taken = redis.pcall('SET', KEYS[2], ARGV[1], 'NX', 'PX', ARGV[2])
if taken then return taken['ok'] and 1 or 0 end
return redis.call('GET', KEYS[2]) == ARGV[1] and 1 or 2
"""

# KEYS: answer, turn. ARGV: our token, and for an answer its value and its life in ms.
# The turn ends with the answer, if it is still ours.
STORE = """
if ARGV[2] then redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3]) end
if redis.call('GET', KEYS[2]) == ARGV[1] then redis.call('DEL', KEYS[2]) end
return 1
"""
