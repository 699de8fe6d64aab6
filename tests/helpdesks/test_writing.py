"""Write-back, for every vendor: one visible effect, whatever fails, and agents always win."""

from __future__ import annotations

import copy
from collections import Counter
from typing import Any

import pytest

from classifier.helpdesks.port import RETRIED, Order, Outcome, Target, WriteStatus
from tests.helpdesks.cases import CASES, Case, effect_of, opened, order_of
from tests.support.helpdesk.server import Fault
from tests.support.helpdesk.store import FakeTicket

every_vendor = pytest.mark.parametrize("case", CASES.values(), ids=CASES)
TAGGED = {name: case for name, case in CASES.items() if "tag" in case.targets}
GUARDED = {name: case for name, case in CASES.items() if case.keeps_tags_always}


@every_vendor
async def test_one_order_writes_everything_once(case: Case) -> None:
    """Tag, field, priority, group and internal note stand in the ticket, each of them once."""
    async with opened(case) as (fake, desk):
        order = order_of(desk, case)
        result = await desk.write(order)
        ticket = fake.store.tickets[case.id]
        assert result.status == "written"
        assert Counter(what for what, _ in fake.store.seen(case.id)) == case.parts
        assert ticket.fields == {case.fields[0]: "billing"}
        if "tag" in case.targets:
            assert set(ticket.tags) == {"tc_billing", "tc_done"}
        if "priority" in case.targets:
            assert ticket.priority == case.priorities[0]
        if "group" in case.targets:
            assert ticket.group == case.groups[0]
        assert len(ticket.notes) == 1
        assert order.effect.marker in ticket.notes[0]
        assert "billing (confidence 0.95)" in ticket.notes[0]


@every_vendor
async def test_the_same_order_again_changes_nothing(case: Case) -> None:
    """At-least-once delivery of an order has an exactly-once effect."""
    async with opened(case) as (fake, desk):
        await desk.write(order_of(desk, case))
        before = list(fake.store.changes)
        again = await desk.write(order_of(desk, case))
        assert again.status == "already"
        assert fake.store.changes == before


@every_vendor
@pytest.mark.parametrize("fault", ["drop", "applied_500"])
async def test_a_lost_answer_and_a_retry_show_one_change(case: Case, fault: Fault) -> None:
    """Each write of an order is applied and its answer lost; retries add nothing to be seen."""
    async with opened(case, call_timeout_s=0.5 if fault == "drop" else 30.0) as (fake, desk):
        fake.faults_on_writes(*[fault] * 6)
        order = order_of(desk, case)
        lost = await desk.write(order)
        assert lost.status == "unavailable"
        if fault == "applied_500":  # the other meets a limit of half a second at any call
            assert lost.retry_after_s is not None
            assert lost.retry_after_s >= desk.entry.settle_s  # so that a lagging read is over
        assert (await _settled(desk, order)).status == "already"
        seen = Counter(what for what, _ in fake.store.seen(case.id))
        assert seen == case.parts


@every_vendor
async def test_what_an_agent_sets_between_read_and_write_stays(
    case: Case, pytestconfig: pytest.Config
) -> None:
    """The agent's label, priority and other fields stand at the end: N of N races."""
    theirs: dict[str, Any] = {
        "tags": ["tc_shipping"] if "tag" in case.targets else [],
        "fields": {case.fields[0]: "shipping", case.fields[1]: "kept"},
        "priority": case.priorities[1] if "priority" in case.targets else None,
        "group": case.groups[1] if "group" in case.targets else None,
    }

    def edit(ticket: FakeTicket) -> None:
        for name, value in theirs.items():
            setattr(ticket, name, copy.copy(value))

    async with opened(case) as (fake, desk):
        for number in range(100 if pytestconfig.getoption("long") else 5):
            id = str(100 + number)
            fake.ticket(id)
            fake.agent_edits(id, edit, after_reads=1)
            result = await _settled(desk, Order(case.prefix + id, effect_of(desk)))
            ticket = fake.store.tickets[id]
            assert result.status == "kept_human"
            assert set(result.kept) == set(case.targets) - {"note"}
            assert {name: getattr(ticket, name) for name in theirs} == theirs
            assert fake.store.seen(id) == []


@pytest.mark.parametrize("case", GUARDED.values(), ids=GUARDED)
async def test_no_moment_loses_an_agents_tag_where_the_vendor_can_help(case: Case) -> None:
    """With a lock, or with calls that only add, the agent may save after any of our reads."""
    async with opened(case) as (fake, desk):
        for number in range(1, 9):
            id = str(200 + number)
            fake.ticket(id)
            fake.agent_edits(id, lambda ticket: ticket.tags.append("vip"), after_reads=number)
            await _settled(desk, Order(case.prefix + id, effect_of(desk)))
            assert ("tag-", "vip") not in fake.store.seen(id)


@every_vendor
@pytest.mark.parametrize("target", ["tag", "field", "priority", "group"])
async def test_values_of_agents_are_kept(case: Case, target: Target) -> None:
    """A value that stood there before we came is somebody's; the rest is still written."""
    values: dict[Target, dict[str, Any]] = {
        "tag": {"tags": ["tc_shipping"]},
        "field": {"fields": {case.fields[0]: "shipping"}},
        "priority": {"priority": case.priorities[1]},
        "group": {"group": case.groups[1]},
    }
    async with opened(case) as (fake, desk):
        ((name, value),) = values[target].items()
        ticket = fake.ticket(case.id, **copy.deepcopy(values[target]))
        result = await desk.write(order_of(desk, case))
        if target in case.targets:
            assert (result.status, result.kept) == ("written", (target,))
        assert getattr(ticket, name) == value


@every_vendor
async def test_what_is_not_ours_to_write_stays(case: Case) -> None:
    """Other tags and other fields survive the calls that replace whole lists."""
    async with opened(case) as (fake, desk):
        tags = ["vip", "asked"] if "tag" in case.targets else []
        ticket = fake.ticket(case.id, tags=tags, fields={case.fields[1]: "kept"})
        assert (await desk.write(order_of(desk, case))).status == "written"
        assert ticket.fields == {case.fields[0]: "billing", case.fields[1]: "kept"}
        assert ticket.tags[: len(tags)] == tags


@every_vendor
async def test_our_own_earlier_label_gives_way_to_the_next(case: Case) -> None:
    """A new classification replaces what we wrote before, if nobody has touched it."""
    async with opened(case) as (fake, desk):
        first = await desk.write(order_of(desk, case))
        second = order_of(desk, case, "shipping", first.written, key="e2")
        result = await desk.write(second)
        ticket = fake.store.tickets[case.id]
        assert result.status == "written"
        assert ticket.fields == {case.fields[0]: "shipping"}
        if "tag" in case.targets:
            assert set(ticket.tags) == {"tc_shipping", "tc_done"}
        assert len(ticket.notes) == 2


@pytest.mark.parametrize("case", TAGGED.values(), ids=TAGGED)
async def test_a_label_that_an_agent_took_off_stays_off(case: Case) -> None:
    """The done tag remembers that our label was there, so a late retry does not bring it back."""
    async with opened(case) as (fake, desk):
        order = order_of(desk, case)
        await desk.write(order)
        fake.store.change(case.id, lambda ticket: ticket.tags.remove("tc_billing"), "agent")
        again = await desk.write(order)
        assert again.status == "kept_human"
        assert "tc_billing" not in fake.store.tickets[case.id].tags


@every_vendor
@pytest.mark.parametrize(
    ("fault", "status"),
    [
        ("429", "rate_limited"),
        ("500", "unavailable"),
        ("503", "unavailable"),
        ("hang", "unavailable"),
        ("huge", "unavailable"),
        ("garbage", "unavailable"),
        ("401", "unauthorised"),
        ("403", "unauthorised"),
        ("redirect", "refused"),  # of a login: unauthorised
    ],
)
async def test_every_failure_has_its_word(case: Case, fault: Fault, status: WriteStatus) -> None:
    """Nothing but an outcome comes out of a write, and nothing was written."""
    async with opened(case, call_timeout_s=0.5) as (fake, desk):
        fake.always(fault)
        result = await desk.write(order_of(desk, case))
        logs_in = "client_credentials" in desk.logins and fault == "redirect"
        assert result.status == ("unauthorised" if logs_in else status)
        assert fake.store.changes == []
        if fault == "429":
            assert result.retry_after_s == pytest.approx(1.0, abs=1.1)
            assert result.rate is not None


@every_vendor
async def test_a_ticket_that_is_gone_is_not_waited_for(case: Case) -> None:
    """Deleted, merged or spam: no retry will bring it back."""
    async with opened(case) as (fake, desk):
        fake.store.tickets[case.id].gone = True
        assert (await desk.write(order_of(desk, case))).status == "gone"


@every_vendor
async def test_an_answer_without_a_ticket_is_no_empty_ticket(case: Case) -> None:
    """A 200 that shows no ticket must not look like one on which nobody has set anything."""
    async with opened(case) as (fake, desk):
        fake.always("empty")
        assert (await desk.write(order_of(desk, case))).status in ("unavailable", "unauthorised")
        assert fake.store.changes == []


@every_vendor
async def test_reads_that_lag_do_not_double_a_write(case: Case) -> None:
    """A vendor that shows old values for a while gets every part of an order once."""
    async with opened(case) as (fake, desk):
        fake.store.lag_s = 0.2
        result = await desk.write(order_of(desk, case))
        assert result.status == "written"
        seen = Counter(what for what, _ in fake.store.seen(case.id))
        assert seen == case.parts


@every_vendor
async def test_a_stopped_server_is_unavailable(case: Case) -> None:
    """A connection that is refused is an outcome as well."""
    async with opened(case, base_url="http://127.0.0.1:1") as (_, desk):
        assert (await desk.write(order_of(desk, case))).status == "unavailable"


async def _settled(desk: object, order: Order) -> Outcome:
    """The last outcome of an order that is retried while that makes sense."""
    for _ in range(40):
        result: Outcome = await desk.write(order)  # type: ignore[attr-defined]
        if result.status not in RETRIED:
            break
    return result
