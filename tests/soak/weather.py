"""What two simulated vendors do on one day: seeded episodes of everything that goes wrong with them."""

from __future__ import annotations

from collections.abc import Sequence
from math import exp
from random import Random
from typing import Literal, NamedTuple

DAY_S = 86_400.0
Kind = Literal[
    "refuse", "reset", "hang", "error", "garbage", "off_taxonomy", "rate_limited", "loading",
    "quota", "gone", "brown_out", "tail", "flapping",
]  # fmt: skip
# How often each comes, and the share of the calls that it hits at least.
_KINDS: dict[Kind, tuple[int, float]] = {
    "refuse": (3, 0.9), "reset": (2, 0.3), "hang": (3, 0.5), "error": (4, 0.2), "garbage": (1, 0.3),
    "off_taxonomy": (1, 0.3), "rate_limited": (4, 0.2), "loading": (1, 0.9), "quota": (1, 1.0),
    "gone": (1, 1.0), "brown_out": (4, 1.0), "tail": (4, 0.02), "flapping": (3, 1.0),
}  # fmt: skip
HOPELESS: frozenset[Kind] = frozenset({"quota", "gone"})
# The noise of every day: one call in a hundred.
_NOISE: tuple[tuple[float, Kind], ...] = (
    (0.004, "error"), (0.007, "reset"), (0.008, "garbage"), (0.010, "off_taxonomy"),
)  # fmt: skip
_FLAP_S = 3.0


class Episode(NamedTuple):
    """From `begin_s` to `end_s` a `share` of the calls meets `kind`."""

    begin_s: float
    end_s: float
    kind: Kind
    share: float
    factor: float


class Sky:
    """One vendor's day. Promise: asked with times that only grow, it answers at once."""

    def __init__(self, episodes: Sequence[Episode], median_s: float, random: Random) -> None:
        self.episodes = episodes
        self._next = 0
        self._median_s = median_s
        self._random = random

    def at(self, now_s: float) -> Episode | None:
        while self._next < len(self.episodes) and self.episodes[self._next].end_s <= now_s:
            self._next += 1
        if self._next == len(self.episodes):
            return None
        episode = self.episodes[self._next]
        return episode if episode.begin_s <= now_s else None

    def draw(self, now_s: float) -> tuple[Kind | None, float]:
        """What a call that starts now meets, and how long its answer takes."""
        took_s = self._median_s * exp(self._random.gauss(0.0, 0.3))
        episode = self.at(now_s)
        if episode is None or self._random.random() >= episode.share:
            return self._noise(), took_s
        if episode.kind in ("brown_out", "tail"):
            return None, took_s * episode.factor
        if episode.kind == "flapping":
            is_down = int((now_s - episode.begin_s) / _FLAP_S) % 2 == 0
            return ("refuse" if is_down else None), took_s
        return episode.kind, took_s

    def _noise(self) -> Kind | None:
        drawn = self._random.random()
        return next((kind for below, kind in _NOISE if drawn < below), None)


def day(seed: str, length_s: float, roughness: float = 1.0) -> tuple[list[Episode], list[Episode]]:
    """Both vendors' episodes: their own, and some that strike both at once."""
    random = Random(f"{seed}:weather")
    per_s = 10 * roughness / DAY_S
    common = _drawn(random, length_s, per_s / 3)
    return tuple(  # type: ignore[return-value]  # two of them
        _apart([*common, *_drawn(random, length_s, per_s)]) for _ in range(2)
    )


def _drawn(random: Random, length_s: float, per_s: float) -> list[Episode]:
    found = []
    begin_s = random.expovariate(per_s)
    while begin_s < length_s:
        kind = random.choices([*_KINDS], [weight for weight, _ in _KINDS.values()])[0]
        lasts_s = min(3_600.0, random.lognormvariate(4.5, 1.2))  # 90 s, 15 minutes in one of twenty
        share = (
            random.uniform(_KINDS[kind][1], 1.0) if kind != "tail" else random.uniform(0.02, 0.1)
        )
        found.append(Episode(begin_s, begin_s + lasts_s, kind, share, random.uniform(3.0, 12.0)))
        begin_s += random.expovariate(per_s)
    return found


def _apart(episodes: list[Episode]) -> list[Episode]:
    """One at a time: what would overlap begins when the one before has ended."""
    found: list[Episode] = []
    for one in sorted(episodes):
        begin_s = max(one.begin_s, found[-1].end_s if found else 0.0)
        if begin_s < one.end_s:
            found.append(one._replace(begin_s=begin_s))
    return found
