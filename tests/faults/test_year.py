"""The simulated year in its short form, and proof that it finds what it looks for."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from classifier.ports import RawReply
from tests.soak.vendor import Vendor
from tests.soak.year import Terms, config_for_days, lived

_LEFT: set[asyncio.Task[None]] = set()


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """The paths and guards of every simulated day."""
    return config_for_days(tmp_path)


@pytest.mark.parametrize("seed", ["1", "2"])
def test_rough_hours_hold(config: Path, seed: str) -> None:
    """Outages, storms, tails and flapping: one right outcome a ticket, in time, paid for exactly."""
    day = lived(config, seed, Terms(hours=1.0, roughness=30))
    assert day.errors == ()
    assert day.tickets > 2_000
    assert day.episodes > 10
    assert day.opened > 10
    assert day.attempts["short", "hedge"] > 10
    assert {"model short", "model long", "no-path-answered", "out-of-time"} <= set(day.outcomes)


def test_failure_comes_again(config: Path) -> None:
    """The same seed is the same day, bit for bit; another one is another."""
    first, again, other = (
        lived(config, seed, Terms(hours=0.25, roughness=30)).digest for seed in ("7", "7", "8")
    )
    assert first == again
    assert first != other


class Confused(Vendor):
    """Answers another's ticket."""

    async def _answer(self, body: bytes, timeout_s: float) -> RawReply:
        return await super()._answer(body.replace(b"1#", b"2#"), timeout_s)


class Dear(Vendor):
    """Charges a nano-dollar that it does not tell of."""

    async def _answer(self, body: bytes, timeout_s: float) -> RawReply:
        if not self.due_nanodollars:
            self.due_nanodollars = 1
        return await super()._answer(body, timeout_s)


class Secretive(Vendor):
    """Has been called once more than anybody knows of."""

    async def _answer(self, body: bytes, timeout_s: float) -> RawReply:
        self.calls += self.calls == 1
        return await super()._answer(body, timeout_s)


class Untidy(Vendor):
    """Leaves a task behind."""

    async def _answer(self, body: bytes, timeout_s: float) -> RawReply:
        if self.calls == 1:
            _LEFT.add(asyncio.create_task(asyncio.sleep(1e9)))
        return await super()._answer(body, timeout_s)


@pytest.mark.parametrize(
    ("vendor", "words"),
    [
        (Confused, "for #"),
        (Dear, "nano-dollars"),
        (Secretive, "calls arrived"),
        (Untidy, "left behind"),
    ],
)
def test_lies_are_found(config: Path, vendor: type[Vendor], words: str) -> None:
    """A day with a vendor that breaks one promise ends with that error."""
    day = lived(config, "1", Terms(hours=0.2, vendor=vendor))
    assert any(words in error for error in day.errors), day.errors
    _LEFT.clear()
