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
from classifier.helpdesks.port import Effect, Order, Target, Written
from tests.support.helpdesk import (
    chatwoot,
    freshdesk,
    front,
    generic,
    helpscout,
    hubspot,
    intercom,
    jira,
    zammad,
    zendesk,
)
from tests.support.helpdesk.server import Dialect, FakeHelpdesk

SECRET = "tc_test_secret_of_the_house"
NOW_S = 1_795_341_600.0  # 2026-11-22T10:00:00Z


class Case(NamedTuple):
    """How one vendor is set up, and which values its API knows."""

    vendor: Vendor
    dialect: Callable[[], Dialect]
    key: str
    entry: dict[str, Any]
    # The ticket's id in the fake; with the prefix it is the id of our events and orders.
    id: str = "4711"
    prefix: str = ""
    targets: tuple[Target, ...] = ("tag", "field", "priority", "group", "note")
    fields: tuple[str, str] = ("intent", "mood")
    priorities: tuple[str, str] = ("high", "low")
    groups: tuple[str, str] = ("55", "77")
    secret: str = SECRET
    signs_time: bool = False
    # Tags are added by the API itself, or guarded by its lock: no moment can lose an agent's.
    keeps_tags_always: bool = False

    @property
    def parts(self) -> dict[str, int]:
        """How often each kind of change can be seen after one order was written."""
        tags = {"tag+": 2} if "tag" in self.targets else {}
        return tags | {target: 1 for target in self.targets if target != "tag"}


_NO_PRIORITY: tuple[Target, ...] = ("tag", "field", "group", "note")
CASES: dict[str, Case] = {
    case.vendor: case
    for case in (
        Case(
            "zendesk", zendesk.ZendeskDialect, zendesk.CLIENT_SECRET,
            {"user": "classifier", "own_user_id": "7009"},
            fields=("36001", "36002"), signs_time=True, keeps_tags_always=True,
        ),
        Case(
            "freshdesk", freshdesk.FreshdeskDialect, freshdesk.KEY, {"proof": "header"},
            fields=("cf_intent", "cf_mood"), priorities=("3", "2"),
        ),
        Case(
            "intercom", intercom.IntercomDialect, intercom.KEY, {"own_user_id": intercom.ADMIN},
            prefix="conversation-", targets=_NO_PRIORITY, keeps_tags_always=True,
        ),
        Case(
            "helpscout", helpscout.HelpScoutDialect, helpscout.CLIENT_SECRET, {"user": "app"},
            targets=_NO_PRIORITY, fields=("9", "10"),
        ),
        Case(
            "front", front.FrontDialect, front.KEY, {},
            id="cnv_1", targets=_NO_PRIORITY, groups=("inb_55", "inb_77"), signs_time=True,
            keeps_tags_always=True,
        ),
        Case(
            "zammad", zammad.ZammadDialect, zammad.KEY, {"own_user_id": "12"},
            priorities=("3 high", "1 low"), groups=("Sales", "Support"), keeps_tags_always=True,
        ),
        Case(
            "chatwoot", chatwoot.ChatwootDialect, chatwoot.KEY, {"account_id": "1"},
            signs_time=True,
        ),
        Case(
            "jira", jira.JiraDialect, jira.KEY, {"user": jira.USER, "own_user_id": "5f-aa00"},
            id="SUP-981", targets=("tag", "field", "priority", "note"),
            fields=("customfield_1", "customfield_2"), priorities=("High", "Low"),
            keeps_tags_always=True,
        ),
        Case(
            "hubspot", hubspot.HubSpotDialect, hubspot.KEY, {"own_user_id": "9001"},
            targets=("field", "priority", "group", "note"), signs_time=True,
        ),
    )
}  # fmt: skip


GENERIC = Case(
    "generic", generic.GenericDialect, "none", {"key_env": None},
    targets=("tag", "note"), secret=generic.SECRET, signs_time=True,
)  # fmt: skip
# Every vendor that sends: all that are written to, and what has no API that one could read.
SENDERS = CASES | {"generic": GENERIC}


def entry_of(case: Case, url: str = "http://127.0.0.1:1", **changes: Any) -> Entry:
    """The entry as a config file would give it, with every action unless `changes` say otherwise."""
    every: dict[Target, Any] = {
        "tag": {"done": "tc_done"},
        "field": {"id": case.fields[0]},
        "priority": {"values": {"billing": case.priorities[0]}},
        "group": {"values": {"billing": case.groups[0]}},
        "note": {},
    }
    actions: dict[str, Any] = {
        target: table for target, table in every.items() if target in case.targets
    }
    actions["suggest_with"] = "tag" if "tag" in case.targets else "note"
    table: dict[str, Any] = {
        "name": case.vendor, "vendor": case.vendor, "secret_env": ["HOOK_SECRET"],
        "base_url": url, "key_env": "API_KEY", "call_timeout_s": 30.0, "actions": actions,
        **case.entry, **changes,
    }  # fmt: skip
    return msgspec.convert(table, Entry)


def desk_of(case: Case, url: str = "http://127.0.0.1:1", **changes: Any) -> Desk:
    """An open account."""
    environ = {"HOOK_SECRET": case.secret, "API_KEY": case.key}
    return open_helpdesk(entry_of(case, url, **changes), environ)


def effect_of(
    desk: Desk, label: str = "billing", confidence: float = 0.95, key: str = "e1"
) -> Effect:
    """What the entry's actions make of a label."""
    found = desk.effect(label, confidence, key)
    assert found is not None
    return found


def order_of(
    desk: Desk, case: Case, label: str = "billing", before: Written | None = None, key: str = "e1"
) -> Order:
    """That effect on its way to the case's ticket."""
    return Order(case.prefix + case.id, effect_of(desk, label, key=key), before)


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
