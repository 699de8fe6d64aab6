"""One contract for both durable queues: a file, and streams in a real Redis."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from classifier.cache.connection import Client, connect
from classifier.inbox.queues import Away, Claimed, Entry, FollowUp, Limits, Queues
from classifier.inbox.sqlite import SqliteQueues
from classifier.inbox.streams import RedisQueues
from tests.support.parts import cache_config
from tests.support.redis_server import RedisServer
from tests.support.waiting import eventually

SHORT = Limits(lease_s=0.3, dedupe_s=60.0)
KINDS = ("file", "redis")


def _redis(url: str) -> Client:
    """The client that the service uses."""
    return connect(url, cache_config(redis_timeout_s=1.0, redis_connections=4))


@pytest.fixture(scope="module")
def keeping_redis(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A real server that appends to a file."""
    server = RedisServer(
        tmp_path_factory.mktemp("redis"), "--appendonly", "yes", "--appendfsync", "always"
    )
    server.start()
    yield server
    server.stop()


@asynccontextmanager
async def opened(
    kind: str, folder: Path, redis: RedisServer, limits: Limits = SHORT
) -> AsyncIterator[Queues]:
    """One process's hold on the queues; a second one in the same folder or Redis shares them."""
    queues: Queues
    if kind == "file":
        queues = SqliteQueues(folder / "queues.sqlite", limits)
    else:
        queues = RedisQueues(_redis(redis.url), limits, name=folder.name)
    await queues.open()
    try:
        yield queues
    finally:
        await queues.aclose()


@pytest.fixture(params=KINDS)
async def queues(
    request: pytest.FixtureRequest, tmp_path: Path, keeping_redis: RedisServer
) -> AsyncIterator[Queues]:
    """Fresh queues of each kind."""
    async with opened(request.param, tmp_path, keeping_redis) as held:
        yield held


def entry(key: str, order: str = "") -> Entry:
    """An entry whose content is neither text nor ASCII."""
    return Entry(key, f"\x00{key} é".encode(), order)


async def _claimed(queues: Queues, *, alone: bool = False) -> Claimed:
    """The next entry, waiting as a worker does."""
    async with asyncio.timeout(5):
        while True:
            if found := await queues.claim("inbox", 1, alone=alone):
                return found[0]
            await queues.wait("inbox", 0.1)


async def _crash(queues: Queues, *, alone: bool = False) -> Claimed:
    """Claims an entry and says nothing until its lease has run out."""
    claimed = await _claimed(queues, alone=alone)
    await asyncio.sleep(1.2 * SHORT.lease_s)
    return claimed


async def test_what_was_put_is_claimed_in_order_with_every_byte(queues: Queues) -> None:
    """Entries come out as they went in, the oldest first."""
    entries = [entry(f"e{number}") for number in range(5)]
    assert await queues.put("inbox", entries) == 5
    assert [claimed.entry for claimed in await queues.claim("inbox", 10)] == entries


async def test_a_duplicate_is_stored_once_even_after_it_was_done(queues: Queues) -> None:
    """A key is taken once, within one put, across puts, and when the first is long done."""
    assert await queues.put("inbox", [entry("a"), entry("a"), entry("b")]) == 2
    assert await queues.put("inbox", [entry("a")]) == 0
    for claimed in await queues.claim("inbox", 10):
        await queues.done(claimed)
    assert await queues.put("inbox", [entry("a"), entry("b")]) == 0
    assert await queues.claim("inbox", 10) == []
    assert await queues.put("outbox", [entry("a")]) == 1, "each queue has its own keys"


async def test_a_claimed_entry_is_nobody_elses(
    queues: Queues, tmp_path: Path, keeping_redis: RedisServer
) -> None:
    """Two processes that claim at once never get the same entry."""
    kind = "file" if isinstance(queues, SqliteQueues) else "redis"
    await queues.put("inbox", [entry(f"e{number}") for number in range(40)])
    async with opened(kind, tmp_path, keeping_redis) as others:
        found = await asyncio.gather(
            *(each.claim("inbox", 7) for each in (queues, others, queues, others, queues, others))
        )
    keys = [claimed.entry.key for part in found for claimed in part]
    assert len(keys) == 40
    assert len(set(keys)) == 40


async def test_a_dead_workers_entry_comes_back_on_a_quiet_queue(queues: Queues) -> None:
    """A lease that ran out makes its entry claimable, with nothing new coming in, and is counted."""
    await queues.put("inbox", [entry("a")])
    first = await _crash(queues)
    second = await _claimed(queues)
    assert (first.crashes, second.crashes) == (0, 1)
    assert second.entry == first.entry


async def test_a_renewed_lease_does_not_run_out(queues: Queues) -> None:
    """A slow worker that is alive keeps what it has."""
    await queues.put("inbox", [entry("a")])
    claimed = await _claimed(queues)
    for _ in range(6):
        await asyncio.sleep(SHORT.lease_s / 3)
        await queues.renew([claimed])
        assert await queues.claim("inbox", 1) == []
    await queues.done(claimed)
    assert (await queues.depth("inbox")).claimed == 0


async def test_a_poison_entry_ends_alone_and_takes_no_innocent_along(queues: Queues) -> None:
    """Who crashed twice is only claimed alone; the fifth crash makes it a dead letter."""
    await queues.put("inbox", [entry("poison"), entry("innocent")])
    for _ in range(2):
        async with asyncio.timeout(5):
            found: list[Claimed] = []
            while len(found) < 2:
                found += await queues.claim("inbox", 2)
                await asyncio.sleep(0.01)
        await asyncio.sleep(1.2 * SHORT.lease_s)
    assert await queues.claim("inbox", 2) == [], "both are in the quarantine lane"
    assert (await queues.depth("inbox")).alone == 2
    crashes = 2
    while crashes < SHORT.dead_after_crashes:
        claimed = await _claimed(queues, alone=True)
        if claimed.entry.key == "innocent":
            await queues.done(claimed)
            continue
        assert await queues.claim("inbox", 2) == []
        await asyncio.sleep(1.2 * SHORT.lease_s)
        crashes += 1
    assert await queues.claim("inbox", 1, alone=True) == []
    assert (await queues.depth("inbox")).waiting == 0
    letters = await queues.dead_letters("inbox")
    assert [(letter.key, letter.reason, letter.crashes) for letter in letters] == [
        ("poison", "crashed", 5)
    ]


async def test_handing_back_counts_a_try_and_waits(queues: Queues) -> None:
    """`again` is no crash, and ends the count of them: who could hand back did not die of it."""
    await queues.put("inbox", [entry("a")])
    await _crash(queues)
    claimed = await _claimed(queues)
    assert claimed.crashes == 1
    await queues.again(claimed, 0.25)
    assert await queues.claim("inbox", 1) == []
    back = await _claimed(queues)
    assert (back.tries, back.crashes) == (1, 0)
    await queues.again(back, 0.05, counts=False)
    assert (await _claimed(queues)).tries == 1, "having to wait is no try"


async def test_entries_of_one_order_are_worked_one_at_a_time(queues: Queues) -> None:
    """The second of an order waits for the first, through a retry and a crash; others do not."""
    await queues.put("inbox", [entry("a1", "a"), entry("a2", "a"), entry("b1", "b"), entry("n")])
    found = {claimed.entry.key: claimed for claimed in await queues.claim("inbox", 10)}
    assert set(found) == {"a1", "b1", "n"}
    await queues.again(found["a1"], 0.05)
    again = await _claimed(queues)
    assert again.entry.key == "a1"
    await queues.done(again)
    last = await _claimed(queues)
    assert last.entry.key == "a2"
    await queues.bury(last, "refused")
    await queues.put("inbox", [entry("a3", "a")])
    assert (await _claimed(queues)).entry.key == "a3", "a dead letter holds up nobody"


async def test_done_and_its_follow_up_are_one_step(queues: Queues) -> None:
    """What comes of an entry is in the other queue when the entry is gone, once."""
    await queues.put("inbox", [entry("a")])
    claimed = await _crash(queues)
    second = await _claimed(queues)
    for each in (claimed, second):  # the first worker was slow, not dead
        await queues.done(each, [FollowUp("outbox", entry("write:a"))])
    assert (await queues.depth("inbox")).waiting == 0
    assert [each.entry.key for each in await queues.claim("outbox", 10)] == ["write:a"]


async def test_a_late_word_about_a_lost_lease_changes_nothing(queues: Queues) -> None:
    """`again` and `bury` of a worker whose lease ran out do not touch the one who has it now."""
    await queues.put("inbox", [entry("a")])
    late = await _crash(queues)
    current = await _claimed(queues)
    await queues.renew([current])
    await queues.again(late, 0.0)
    await queues.bury(late, "refused")
    assert await queues.claim("inbox", 1) == []
    await queues.done(current)
    assert await queues.depth("inbox") == (await queues.depth("outbox"))


async def test_dead_letters_can_be_listed_revived_and_dropped(queues: Queues) -> None:
    """A dead letter is shown without its content, waits again when revived, is gone when dropped."""
    await queues.put("inbox", [entry("a"), entry("b")])
    for claimed in await queues.claim("inbox", 2):
        await queues.bury(claimed, "exhausted")
    first, second = await queues.dead_letters("inbox")
    assert (first.key, first.reason, first.size_bytes) == (
        "a",
        "exhausted",
        len(entry("a").payload),
    )
    assert first.died_at >= first.accepted_at > 1_700_000_000
    assert await queues.revive("inbox", first.id)
    assert await queues.drop("inbox", second.id)
    for gone in (first.id, second.id, "no such", "9" * 30):
        assert not await queues.revive("inbox", gone)
        assert not await queues.drop("inbox", gone)
    back = await _claimed(queues)
    assert (back.entry, back.tries, back.crashes) == (entry("a"), 0, 0)


async def test_depth_counts_what_lies_where(queues: Queues) -> None:
    """Waiting, claimed and dead entries are counted; the oldest one's age grows until it is done."""
    await queues.put("inbox", [entry(f"e{number}", "same") for number in range(4)])
    claimed = await _claimed(queues)
    depth = await queues.depth("inbox")
    assert (depth.waiting, depth.claimed, depth.dead) == (3, 1, 0)
    await asyncio.sleep(0.05)
    assert (await queues.depth("inbox")).oldest_s >= 0.05
    await queues.bury(claimed, "refused")
    depth = await queues.depth("inbox")
    assert (depth.waiting, depth.claimed, depth.dead) == (3, 0, 1)
    for _ in range(3):
        await queues.done(await _claimed(queues))
    assert (await queues.depth("inbox")).oldest_s == 0


async def test_facts_are_shared_replaced_and_forgotten(
    queues: Queues, tmp_path: Path, keeping_redis: RedisServer
) -> None:
    """What one process remembers another recalls; the last value counts, until its time is over."""
    kind = "file" if isinstance(queues, SqliteQueues) else "redis"
    await queues.remember("ticket", b"\x00old", 60.0)
    await queues.remember("ticket", b"\x00new", 60.0)
    await queues.remember("brief", b"x", 0.05)
    async with opened(kind, tmp_path, keeping_redis) as others:
        assert await others.recall("ticket") == b"\x00new"
        assert await others.recall("never") is None
        await asyncio.sleep(0.1)
        assert await others.recall("brief") is None


async def test_a_waiting_worker_hears_of_a_put(queues: Queues) -> None:
    """`wait` ends early for what is put meanwhile."""
    waiting = asyncio.create_task(_claimed(queues))
    await asyncio.sleep(0.05)
    await queues.put("inbox", [entry("a")])
    assert (await waiting).entry.key == "a"


@pytest.mark.parametrize("kind", KINDS)
async def test_nothing_is_lost_when_the_process_goes(
    kind: str, tmp_path: Path, keeping_redis: RedisServer
) -> None:
    """What was put, claimed and handed back by a process that is gone is there for the next one."""
    async with opened(kind, tmp_path, keeping_redis) as first:
        await first.put("inbox", [entry("waiting"), entry("later"), entry("held")])
        await first.claim("inbox", 1)
        claimed = await _claimed(first)
        await first.again(claimed, 0.1)
    async with opened(kind, tmp_path, keeping_redis) as second:
        keys = {(await _claimed(second)).entry.key for _ in range(3)}
    assert keys == {"waiting", "later", "held"}


async def test_redis_that_keeps_nothing_is_found_out(tmp_path: Path) -> None:
    """Without an append-only file, or with an evicting policy, the queues are not durable."""
    for arguments, expected in (
        ((), "unsafe"),
        (("--appendonly", "yes"), "durable"),
        (("--appendonly", "yes", "--maxmemory-policy", "allkeys-lru"), "unsafe"),
    ):
        server = RedisServer(tmp_path, *arguments)
        server.start()
        held = RedisQueues(_redis(server.url), SHORT)
        try:
            assert await held.open() == expected
        finally:
            await held.aclose()
            server.stop()


async def test_redis_that_hangs_or_dies_is_away_and_comes_back(tmp_path: Path) -> None:
    """A put never returns without having stored; after a restart the same calls work again."""
    server = RedisServer(tmp_path, "--appendonly", "yes", "--appendfsync", "always")
    server.start()
    held = RedisQueues(_redis(server.url), SHORT, timeout_s=0.2)
    try:
        await held.open()
        await held.put("inbox", [entry("kept")])
        server.pause()
        with pytest.raises(Away):
            await held.put("inbox", [entry("b")])
        server.resume()
        server.kill()
        with pytest.raises(Away):
            await held.claim("inbox", 1)
        server.start()
        await eventually(lambda: _stored(held, entry("c")), within_s=10)
        keys = [claimed.entry.key for claimed in await held.claim("inbox", 10)]
        assert (keys[0], "c" in keys) == ("kept", True)
    finally:
        await held.aclose()
        server.stop()


async def _stored(queues: Queues, wanted: Entry) -> bool:
    try:
        await queues.put("inbox", [wanted])
    except Away:
        return False
    return True


async def test_a_file_that_cannot_be_written_is_away(tmp_path: Path) -> None:
    """A folder that is none is said at once, not at the first event."""
    (tmp_path / "file").write_text("")
    with pytest.raises(Away):
        await SqliteQueues(tmp_path / "file" / "queues.sqlite", SHORT).open()


async def test_leases_and_pauses_survive_a_clock_that_is_turned_back(tmp_path: Path) -> None:
    """An hour back does not keep a dead worker's entry for an hour."""
    now = [1_800_000_000.0]
    held = SqliteQueues(tmp_path / "queues.sqlite", SHORT, clock=lambda: now[0])
    await held.open()
    try:
        await held.put("inbox", [entry("a")])
        await held.claim("inbox", 1)
        now[0] -= 3_600
        assert [claimed.crashes for claimed in await held.claim("inbox", 1)] == [1]
    finally:
        await held.aclose()
