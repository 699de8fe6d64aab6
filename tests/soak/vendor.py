"""A vendor in virtual time: an Endpoint that sleeps, fails as the weather says, and keeps its books."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import Callable
from random import Random

from classifier.errors import AttemptFailed
from classifier.ports import RawReply
from tests.soak.weather import Kind, Sky

LABELS = ("billing", "login", "other")
_NUMBER = re.compile(rb"#(\d+)#")
_REPLY = (
    b'{"choices":[{"index":0,"finish_reason":"stop","message":{"role":"assistant","content":"%b"},'
    b'"logprobs":{"content":[{"token":"%b","logprob":%b}]}}],"usage":{"prompt_tokens":%d,'
    b'"completion_tokens":2,"prompt_tokens_details":{"cached_tokens":0,"cache_write_tokens":0}}}'
)
_OUTPUT_TOKENS = 2


def label_of(number: int) -> str:
    """What a ticket with this number is about."""
    return LABELS[number % len(LABELS)]


class Vendor:
    """Stands for the client of one model server, with its promise: a RawReply or AttemptFailed.

    `due_nanodollars`: for answers that came whole, to the nano-dollar. `unsettled`: calls that it
    may have worked on and whose answer never came.
    """

    def __init__(
        self, sky: Sky, rates: tuple[int, int], random: Random, now: Callable[[], float]
    ) -> None:
        self.calls = 0
        self.due_nanodollars = 0
        self.unsettled: Counter[str] = Counter()
        self.under_way = 0
        self._sky = sky
        self._rates = rates
        self._random = random
        self._now = now

    async def post(self, route: str, body: bytes, timeout_s: float) -> RawReply:
        self.calls += 1
        self.under_way += 1
        try:
            return await self._answer(body, timeout_s)
        except asyncio.CancelledError:
            self.unsettled["cancelled"] += 1
            raise
        finally:
            self.under_way -= 1

    async def warm(self) -> bool:
        return True

    async def aclose(self) -> None:
        """Nothing is open."""

    async def _answer(self, body: bytes, timeout_s: float) -> RawReply:
        kind, took_s = self._sky.draw(self._now())
        if kind is not None and kind not in ("garbage", "off_taxonomy"):
            await self._fail(kind, took_s, timeout_s)
        if took_s > timeout_s:
            await self._fail("hang", took_s, timeout_s)
        await asyncio.sleep(took_s)
        if kind == "garbage":
            self.unsettled["garbage"] += 1
            return RawReply(b"<html>")
        return self._worked_out(body, says_label=kind is None)

    async def _fail(self, kind: Kind, took_s: float, timeout_s: float) -> None:
        """Raises AttemptFailed for what the kind is, after the time that it takes."""
        if kind == "hang":
            await asyncio.sleep(timeout_s)
            self.unsettled["timeout"] += 1
            raise AttemptFailed("timeout", may_be_charged=True)
        await asyncio.sleep(min(took_s / 4, timeout_s))
        if kind == "reset":
            self.unsettled["reset"] += 1
            raise AttemptFailed("reset", may_be_charged=True)
        raise self._refusal(kind)

    def _refusal(self, kind: Kind) -> AttemptFailed:
        """What costs nothing."""
        match kind:
            case "refuse":
                return AttemptFailed("connect")
            case "rate_limited":
                asked_s = self._random.choice((None, 0.2, 1.0, 5.0))
                return AttemptFailed("rate_limited", retry_after_s=asked_s)
            case "loading":
                return AttemptFailed("loading")
            case "quota":
                return AttemptFailed("quota")
            case "gone":
                return AttemptFailed("model_gone")
            case _:
                return AttemptFailed("server_error")

    def _worked_out(self, body: bytes, *, says_label: bool) -> RawReply:
        found = _NUMBER.search(body)
        assert found is not None
        number = int(found[1])
        words = label_of(number).encode() if says_label else b"refund"
        tokens = 50 + number % 97
        self.due_nanodollars += tokens * self._rates[0] + _OUTPUT_TOKENS * self._rates[1]
        logprob = b"-1.2" if self._random.random() < 1 / 12 else b"-0.01"
        return RawReply(_REPLY % (words, words, logprob, tokens), None, simulated=True)
