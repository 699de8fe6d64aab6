"""One account of every vendor, against the fake that speaks its API."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import msgspec

from classifier.config.helpdesks import Helpdesk as Entry
from classifier.config.helpdesks import Vendor
from classifier.helpdesks.accounts import open_helpdesk
from classifier.helpdesks.desk import Desk
from classifier.helpdesks.effects import effect, marker
from classifier.helpdesks.port import Effect, Order, Written
from tests.support.helpdesk import chatwoot, zendesk
from tests.support.helpdesk.server import Dialect, FakeHelpdesk

SECRET = "tc_test_secret_of_the_house"
NOW_S = 1_795_341_600.0  # 2026-11-22T10:00:00Z


class Case(NamedTuple):
    """How one vendor is set up, and which values its API knows."""

    vendor: Vendor
    dialect: Callable[[], Dialect]
    entry: dict[str, Any]
    key: str
    id: str = "4711"
    field_id: str = "intent"
    other_field_id: str = "mood"
    priority: str = "high"
    group: str = "55"
    signs_time: bool = False
    # Tags are added by the API itself, or guarded by its lock: no moment can lose an agent's.
    keeps_tags_always: bool = False


CASES = {
    "zendesk": Case(
        "zendesk",
        zendesk.ZendeskDialect,
        {"user": "classifier", "own_user_id": "7009"},
        zendesk.CLIENT_SECRET,
        field_id="36001",
        other_field_id="36002",
        signs_time=True,
        keeps_tags_always=True,
    ),
    "chatwoot": Case(
        "chatwoot", chatwoot.ChatwootDialect, {"account_id": "1"}, chatwoot.KEY, signs_time=True
    ),
}


def entry_of(case: Case, url: str = "http://127.0.0.1:1", **changes: Any) -> Entry:
    """The entry as a config file would give it, with every action unless `changes` say otherwise."""
    actions: dict[str, Any] = {
        "tag": {"done": "tc_done"},
        "field": {"id": case.field_id},
        "priority": {"values": {"billing": case.priority}},
        "group": {"values": {"billing": case.group}},
        "note": {},
    }
    table: dict[str, Any] = {
        "name": case.vendor, "vendor": case.vendor, "secret_env": ["HOOK_SECRET"],
        "base_url": url, "key_env": "API_KEY", "call_timeout_s": 2.0, "actions": actions,
        **case.entry, **changes,
    }  # fmt: skip
    return msgspec.convert(table, Entry)


def desk_of(case: Case, url: str = "http://127.0.0.1:1", **changes: Any) -> Desk:
    """An open account."""
    environ = {"HOOK_SECRET": SECRET, "API_KEY": case.key}
    desk = open_helpdesk(entry_of(case, url, **changes), environ)
    assert isinstance(desk, Desk)
    return desk


def effect_of(
    desk: Desk, label: str = "billing", confidence: float = 0.95, key: str = "e1"
) -> Effect:
    """What the entry's actions make of a label."""
    found = effect(desk.entry.actions, label, confidence, marker(desk.name, key))
    assert found is not None
    return found


def order_of(
    desk: Desk, case: Case, label: str = "billing", before: Written | None = None, key: str = "e1"
) -> Order:
    """That effect on its way to the case's ticket."""
    return Order(case.id, effect_of(desk, label, key=key), before)


@asynccontextmanager
async def opened(case: Case, **changes: Any) -> AsyncIterator[tuple[FakeHelpdesk, Desk]]:
    """The fake with one ticket, and an account that talks to it."""
    async with FakeHelpdesk(case.dialect()).open() as fake:
        fake.ticket(case.id)
        desk = desk_of(case, fake.url, **changes)
        try:
            yield fake, desk
        finally:
            await desk.aclose()
