"""Zendesk's asynchronous jobs: many tickets in one call, and what became of each."""

from __future__ import annotations

import asyncio
import time

from classifier.helpdesks.api import Api
from classifier.helpdesks.body import Body
from classifier.helpdesks.port import HelpdeskFailed, Rate

_POLL_S = 0.5


async def add_tags(
    api: Api, ids: list[str], tags: list[str], timeout_s: float
) -> tuple[set[str], Rate]:
    """Adds tags to up to 100 tickets; says which of them did not get any.

    `additional_tags` overwrites nothing. The vendor's pages agree on it for the `ids` form only.
    Raises HelpdeskFailed when the job did not end in time: then nobody knows.
    """
    started = await api.call(
        "PUT",
        "/api/v2/tickets/update_many.json",
        {"ticket": {"additional_tags": tags}},
        query={"ids": ",".join(ids)},
    )
    job = await _finished(api, started.body.at("job_status"), timeout_s)
    failed = {
        each.text("id")
        for each in job.items("results")
        if each.some("error") or each.at("success").value is False
    }
    return failed, started.rate


async def _finished(api: Api, job: Body, timeout_s: float) -> Body:
    id = job.ticket_id("id")
    until = time.monotonic() + timeout_s
    while job.text("status") in ("queued", "working"):
        if time.monotonic() > until or not id:
            raise HelpdeskFailed("unavailable")
        await asyncio.sleep(_POLL_S)
        found = await api.call("GET", f"/api/v2/job_statuses/{id}")
        job = found.body.at("job_status")
    if job.text("status") != "completed":
        raise HelpdeskFailed("unavailable")
    return job
