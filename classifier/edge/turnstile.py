"""Requests that are refused before they are worked on: no task, no parsing, no Redis."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from classifier.admission.gate import Shed
from classifier.admission.pace import Pace
from classifier.api.context import ARRIVED, request_id
from classifier.edge.refusals import refusal
from classifier.pipeline import Pipeline

# Webhooks answer for themselves, batches are few and patient, operators must always get through.
_DOOR = "/classify"


class Turnstile:
    """One for all connections of a process.

    While requests come it times every turn of the event loop: what arrives now waits for about one
    before it is read, and for another before its first line of code runs.
    """

    def __init__(self, pipeline: Pipeline, count: Callable[[str, int], None]) -> None:
        self._pipeline = pipeline
        self._count = count
        self._now = pipeline.admission.now
        self._pace = Pace(pipeline.admission.config)
        self._turn_began: float | None = None  # None: nobody came lately, and it is not timed
        self._came = False

    def arrived(self) -> float:
        """The first bytes of a request were read. Returns the moment."""
        self._came = True
        if self._turn_began is None:
            self._turn_began = self._now()
            asyncio.get_running_loop().call_soon(self._turn)
        return self._now()

    def turns_away(self, scope: Any, under_way: int, *, closes: bool) -> bytes | None:
        """The whole answer for a request that is not worth beginning; None lets it in.

        `under_way`: requests of this process that have begun and are not answered.
        """
        if scope["path"] != _DOOR or scope["method"] != "POST":
            return None
        reason = self._objection(under_way)
        if reason is None:
            self._pace.taken += 1
            return None
        now = self._now()
        error = self._pipeline.turned_away(reason, now - scope["state"].get(ARRIVED, now))
        self._count(_DOOR, error.status)
        return refusal(error, request_id(scope), closes=closes)

    def _objection(self, under_way: int) -> Shed | None:
        self._pace.config = admission = self._pipeline.admission.config
        if under_way >= admission.max_in_flight:
            return "in_flight"
        if self._pace.is_spent:
            return "late"
        # Only a cache could answer it now: as long as there is time to ask.
        late = self._pace.is_late(self._now(), self._turn_began)
        return "late" if late and self._pipeline.admission.would_refuse("classify") else None

    def _turn(self) -> None:
        """Runs once in every turn, as long as requests come."""
        now = self._now()
        if self._turn_began is not None:
            self._pace.turned(now - self._turn_began, now)
        if self._came:
            self._came, self._turn_began = False, now
            asyncio.get_running_loop().call_soon(self._turn)
        else:
            self._turn_began = None
