"""Nothing lost, nothing doubled: a short form of tests/loop/chaos.py for each store."""

from __future__ import annotations

import pytest

from tests.loop.chaos import Store, Wish, run


@pytest.mark.parametrize("store", ["file", "redis"])
async def test_every_accepted_ticket_is_labelled_once_whatever_dies(store: Store) -> None:
    """One tag and one note per ticket after kill -9, a dead and a hung Redis, failing calls."""
    wish = Wish(seed=5, store=store, tickets=24, per_s=16.0, kills=1, failures=0.1)
    seen = await run(wish)
    assert seen.accepted == wish.tickets
    assert (seen.lost, seen.doubled, seen.dead) == ([], {}, [])
