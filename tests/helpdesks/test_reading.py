"""Fetching thin events, polling for lost ones, batches, tokens: against the fake."""

from __future__ import annotations

import pytest

from classifier.helpdesks.port import Handshake, HelpdeskFailed, Order
from tests.helpdesks.cases import CASES, NOW_S, SENDERS, Case, effect_of, opened, order_of
from tests.support.helpdesk.store import FakeTicket

every_vendor = pytest.mark.parametrize("case", CASES.values(), ids=CASES)
POLLED = {name: CASES[name] for name in ("zendesk", "chatwoot", "front")}


@every_vendor
async def test_a_thin_events_ticket_is_fetched(case: Case) -> None:
    """What the delivery left out comes from the API, as text."""
    async with opened(case) as (fake, desk):
        fake.store.change(case.id, _ask, "agent")
        found = await desk.fetch(case.prefix + case.id)
        assert found.ticket is not None
        assert (found.ticket.id, found.ticket_id) == (case.prefix + case.id,) * 2
        assert found.ticket.subject == "Refund"
        assert found.ticket.body == "Where is it?"


def _ask(ticket: FakeTicket) -> None:
    ticket.subject, ticket.body = "Refund", "Where is it?"
    ticket.tags = ["asked"]


@every_vendor
async def test_a_ticket_that_is_gone_cannot_be_fetched(case: Case) -> None:
    """The worker learns that there is nothing to classify."""
    async with opened(case) as (fake, desk):
        fake.store.tickets[case.id].gone = True
        with pytest.raises(HelpdeskFailed) as caught:
            await desk.fetch(case.prefix + case.id)
        assert caught.value.status == "gone"


@pytest.mark.parametrize("case", POLLED.values(), ids=POLLED)
async def test_a_poll_and_a_webhook_tell_the_same_arrival(case: Case) -> None:
    """They share a key, and so a marker: a ticket that both find gets one note."""
    async with opened(case) as (fake, desk):
        sample = desk.sample("https://tc.example.com/x", NOW_S)
        parsed = desk.parse(sample)
        assert not isinstance(parsed, Handshake)
        fake.ticket(parsed[0].ticket_id)
        page = await desk.poll("" if case.vendor == "zendesk" else "1795000000")
        keys = {event.key for event in page.events if event.ticket_id == parsed[0].ticket_id}
        assert keys == {parsed[0].key}


@pytest.mark.parametrize("case", POLLED.values(), ids=POLLED)
async def test_a_poll_finds_what_no_webhook_told(case: Case) -> None:
    """Every ticket of the time is found, page by page, and the cursor goes on from there."""
    async with opened(case) as (fake, desk):
        ids = [case.id]
        for number in range(5):
            ids.append(f"{case.id}{number}")
            fake.ticket(ids[-1], created_s=fake.store.tickets[case.id].created_s + number)
        cursor, found, more = "1795000000" if case.vendor != "zendesk" else "", set(), True
        while more:
            page = await desk.poll(cursor)
            found |= {event.ticket_id for event in page.events}
            cursor, more = page.cursor, page.more
        assert found == set(ids)
        later = fake.ticket("99" if case.id.isdecimal() else "cnv_99", created_s=1_795_400_000)
        page = await desk.poll(cursor)
        assert later.id in {event.ticket_id for event in page.events}
        assert len(page.events) <= 2  # not all of them again


async def test_zendesk_batches_add_one_tag_to_many() -> None:
    """One job for the tickets that lack the tag; agents' labels, gone ones and done ones are told."""
    case = CASES["zendesk"]
    async with opened(case, actions={"tag": {}}) as (fake, desk):
        fake.ticket("1")
        fake.ticket("2", tags=["tc_shipping"])
        fake.ticket("3", gone=True)
        fake.ticket("4", tags=["tc_billing"])
        fake.ticket("5", tags=["vip"])
        orders = [Order(str(number), effect_of(desk)) for number in range(1, 6)]
        assert len({desk.batch_key(order) for order in orders}) == 1
        results = await desk.write_many(orders)
        assert [result.status for result in results] == [
            "written", "kept_human", "gone", "already", "written",
        ]  # fmt: skip
        assert fake.store.tickets["5"].tags == ["vip", "tc_billing"]
        writes = [call for call in fake.calls if call.method == "PUT"]
        assert [call.query["ids"] for call in writes] == ["1,5"]
        assert [result.status for result in await desk.write_many(orders)] == [
            "already", "kept_human", "gone", "already", "already",
        ]  # fmt: skip


async def test_zendesk_batches_only_what_overwrites_nothing() -> None:
    """An order with a field, a note or an earlier label goes alone, under the lock."""
    case = CASES["zendesk"]
    async with opened(case) as (_, desk):
        assert desk.batch_key(order_of(desk, case)) is None


async def test_zendesk_batches_fail_together() -> None:
    """When nobody knows what became of the job, every order is tried again."""
    case = CASES["zendesk"]
    async with opened(case, actions={"tag": {}}) as (fake, desk):
        fake.faults_on_writes("500")
        results = await desk.write_many([order_of(desk, case)] * 2)
        assert [result.status for result in results] == ["unavailable"] * 2


@pytest.mark.parametrize("vendor", ["zendesk", "helpscout"])
async def test_one_token_serves_many_calls_and_a_revoked_one_is_renewed(vendor: str) -> None:
    """OAuth: the token is fetched once; a 401 makes one more fetch, not one for every call."""
    case = CASES[vendor]
    async with opened(case) as (fake, desk):
        await desk.write(order_of(desk, case))
        await desk.fetch(case.id)
        assert len([call for call in fake.calls if "oauth" in call.path]) == 1
        wrong = await _opened_with_a_wrong_key(case, fake.url)
        assert wrong == "unauthorised"


async def _opened_with_a_wrong_key(case: Case, url: str) -> str:
    async with opened(case._replace(key="not-the-secret"), base_url=url) as (_, desk):
        result = await desk.write(order_of(desk, case))
        return result.status


async def test_generic_results_are_signed_and_sent_once_in_effect() -> None:
    """The receiver checks the signature, applies a marker once, and its 409 keeps the agent's."""
    case = SENDERS["generic"]
    async with opened(case) as (fake, desk):
        order = order_of(desk, case)
        fake.faults("applied_500")
        results = [await desk.write(order) for _ in range(2)]
        assert [result.status for result in results] == ["unavailable", "written"]
        assert [what for what, _ in fake.store.seen(case.id)] == ["tag+", "tag+", "note"]
        fake.ticket("8", tags=["tc_shipping"])
        kept = await desk.write(Order("8", effect_of(desk, key="e8")))
        gone = await desk.write(Order("9", effect_of(desk, key="e9")))
        assert (kept.status, gone.status) == ("kept_human", "gone")


async def test_an_entry_that_only_listens_writes_nothing() -> None:
    """Without a key there is no API; a write says so instead of waiting."""
    case = CASES["zendesk"]
    async with opened(case) as (_, writer):
        order = order_of(writer, case)
    async with opened(case, key_env=None, actions={}) as (fake, desk):
        assert (await desk.write(order)).status == "refused"
        assert fake.calls == []
