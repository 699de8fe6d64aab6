"""The in-process cache forgets what is old and what was not used, and nothing else."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from msgspec import structs

from classifier.cache.memory import MemoryCache
from classifier.records import Answer

ANSWER = Answer(
    label="billing",
    confidence=0.9,
    path="short",
    model="ft:base",
    taxonomy="t@1",
    prompt="p@1",
    simulated=False,
    ttl_s=60.0,
)
KEYS = st.sampled_from("abcdefg")
TTLS = st.sampled_from([0.0, 1.0, 2.0, 5.0, 60.0])


class Clock:
    """Time that passes only when the test says so."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


def labelled(label: str, ttl_s: float = 60.0) -> Answer:
    """An answer that can be told from others."""
    return structs.replace(ANSWER, label=label, ttl_s=ttl_s)


def test_answer_is_given_back_until_it_is_old() -> None:
    """At the last moment of its life it is there, and at its end it is gone, also from the count."""
    clock = Clock()
    cache = MemoryCache(10, clock)
    cache.put("a", labelled("billing", ttl_s=60.0))
    clock.now += 59.999
    assert cache.look_up("a") == labelled("billing", ttl_s=60.0)
    clock.now += 0.001
    assert cache.look_up("a") is None
    assert len(cache) == 0


def test_answer_may_be_held_for_less() -> None:
    """Above Redis an answer lives shorter than its own time to live."""
    clock = Clock()
    cache = MemoryCache(10, clock)
    cache.hold("a", labelled("billing", ttl_s=60.0), ttl_s=5.0)
    clock.now += 5.0
    assert cache.look_up("a") is None


def test_new_answer_takes_the_place_of_the_old() -> None:
    """The last answer counts, with a life of its own."""
    clock = Clock()
    cache = MemoryCache(10, clock)
    cache.put("a", labelled("billing", ttl_s=10.0))
    clock.now += 9.0
    cache.put("a", labelled("refund", ttl_s=10.0))
    clock.now += 9.0
    assert cache.look_up("a") == labelled("refund", ttl_s=10.0)
    assert len(cache) == 1


def test_least_recently_used_goes_first() -> None:
    """Looking an answer up keeps it; the one that nobody asked for makes room."""
    cache = MemoryCache(2, Clock())
    cache.put("a", labelled("billing"))
    cache.put("b", labelled("refund"))
    cache.look_up("a")
    cache.put("c", labelled("login"))
    assert [key for key in "abc" if cache.look_up(key)] == ["a", "c"]


def test_cache_of_no_entries_holds_nothing() -> None:
    """0 switches the tier off."""
    cache = MemoryCache(0, Clock())
    cache.put("a", ANSWER)
    assert cache.look_up("a") is None
    assert len(cache) == 0


async def test_cache_keeps_the_ports_promise() -> None:
    """It can be asked as every cache is, and holds nothing once it is closed."""
    cache = MemoryCache(10)
    cache.put("a", ANSWER)
    assert await cache.get("a") == ANSWER
    assert await cache.get("b") is None
    await cache.aclose()
    assert len(cache) == 0


class Model(RuleBasedStateMachine):
    """The cache beside a list of (key, end of life, answer) in the order of use."""

    @initialize(entries=st.integers(0, 4))
    def begin(self, entries: int) -> None:
        self.clock = Clock()
        self.cache = MemoryCache(entries, self.clock)
        self.entries = entries
        self.held: list[tuple[str, float, Answer]] = []

    @rule(key=KEYS, label=st.sampled_from(["billing", "refund"]), ttl_s=TTLS)
    def put(self, key: str, label: str, ttl_s: float) -> None:
        answer = labelled(label, ttl_s)
        self.cache.put(key, answer)
        self._remember(key, answer, ttl_s)

    @rule(key=KEYS, ttl_s=TTLS)
    def hold(self, key: str, ttl_s: float) -> None:
        self.cache.hold(key, ANSWER, ttl_s)
        self._remember(key, ANSWER, ttl_s)

    @rule(key=KEYS)
    def look_up(self, key: str) -> None:
        found = next((entry for entry in self.held if entry[0] == key), None)
        expected = None
        if found is not None:
            self.held.remove(found)
            if self.clock.now < found[1]:
                self.held.append(found)
                expected = found[2]
        assert self.cache.look_up(key) == expected

    @rule(seconds=st.sampled_from([0.5, 1.0, 3.0, 60.0]))
    def wait(self, seconds: float) -> None:
        self.clock.now += seconds

    @invariant()
    def is_bounded(self) -> None:
        assert len(self.cache) == len(self.held) <= self.entries

    def _remember(self, key: str, answer: Answer, ttl_s: float) -> None:
        if ttl_s > 0:
            kept = [entry for entry in self.held if entry[0] != key]
            kept.append((key, self.clock.now + ttl_s, answer))
            self.held = kept[max(0, len(kept) - self.entries) :]


TestCacheIsItsModel = Model.TestCase
TestCacheIsItsModel.settings = settings(max_examples=40)  # of 50 steps each: 0.5 s
TestCacheIsItsModel.__doc__ = "Whatever is put, looked up and waited for, cache and list agree."
