"""The loop from a signed delivery to the ticket, with real queues and a helpdesk that speaks HTTP."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec import structs

from classifier.config.inbox import Inbox as InboxConfig
from classifier.errors import NoPathAnswered, NotFound, NotGenuine, ServiceError
from classifier.helpdesks.desk import Desk
from classifier.helpdesks.port import Delivery
from classifier.inbox.queues import Depth, Queues
from classifier.inbox.sqlite import SqliteQueues
from classifier.loop.intake import Intake
from classifier.loop.running import Loop, limits_of
from classifier.records import NO_COST, NO_USAGE, Classification, Stages, Ticket
from tests.helpdesks.cases import CASES, Case, desk_of
from tests.support.helpdesk.server import ApiCall, FakeHelpdesk, Reply
from tests.support.helpdesk.store import Store
from tests.support.parts import ANSWER
from tests.support.waiting import eventually

CHATWOOT, ZENDESK = CASES["chatwoot"], CASES["zendesk"]
CONFIG = InboxConfig(lease_s=1.0, longest_pause_s=0.2, tries=50)


class Watching:
    """Counts what the loop tells."""

    def __init__(self) -> None:
        self.deliveries: Counter[str] = Counter()
        self.ended: Counter[str] = Counter()
        self.statuses: Counter[str] = Counter()
        self.corrections: Counter[str] = Counter()
        self.ages_s: list[float] = []

    def delivery(self, account: str, outcome: str, duration_s: float) -> None:
        self.deliveries[outcome] += 1

    def queue_depth(self, queue: str, depth: Depth) -> None:
        assert depth.waiting >= 0

    def entry_ended(self, queue: str, outcome: str, duration_s: float) -> None:
        self.ended[f"{queue}:{outcome}"] += 1

    def looped(self, account: str, age_s: float) -> None:
        self.ages_s.append(age_s)

    def write_back(self, account: str, status: str) -> None:
        self.statuses[status] += 1

    def correction(self, account: str, kind: str) -> None:
        self.corrections[kind] += 1

    def writes_allowed(self, account: str, per_minute: float) -> None:
        assert per_minute > 0


class Model:
    """Stands for the pipeline: one label for all, or a failure."""

    def __init__(self) -> None:
        self.tickets: list[Ticket] = []
        self.confidence = 0.95
        self.failures: list[ServiceError] = []

    async def __call__(self, ticket: Ticket, account: str, timeout_s: float) -> Classification:
        if self.failures:
            raise self.failures.pop()
        self.tickets.append(ticket)
        answer = structs.replace(ANSWER, label="billing", confidence=self.confidence)
        return Classification(ticket.id, answer, "model", NO_USAGE, NO_COST, Stages(0.1), "all")


class Corrections:
    """Stands for the ledger."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, str, str, str | None]] = []

    async def corrected(
        self, account: str, ticket_id: str, label: str, by: str | None = None
    ) -> None:
        self.seen.append((account, ticket_id, label, by))


class House:
    """One process of the loop over its own hold on the queues."""

    def __init__(self, queues: Queues, desk: Desk, fake: FakeHelpdesk) -> None:
        self.desk = desk
        self.fake = fake
        self.queues = queues
        self.watching = Watching()
        self.model = Model()
        self.corrections = Corrections()
        self.intake = Intake(lambda: {desk.name: desk}, queues, self.watching)
        self.loop = Loop(
            lambda: {desk.name: desk}, queues, self.model, self.corrections, CONFIG, self.watching
        )

    async def deliver(self, delivery: Delivery) -> int:
        return (await self.intake.take(self.desk.name, delivery)).status

    async def quiet(self) -> None:
        """Waits until nothing is left to do."""

        async def empty() -> bool:
            depths = [await self.queues.depth(queue) for queue in ("inbox", "outbox")]
            return all(depth.waiting == depth.claimed == 0 for depth in depths)

        await eventually(empty, within_s=20)


@asynccontextmanager
async def looping(folder: Path, case: Case = CHATWOOT, **entry: Any) -> AsyncIterator[House]:
    """The loop of one account against the fake with one ticket; not started yet."""
    entry = {"writes_per_minute": 60_000, "share": 1.0, "reconcile": False, **entry}
    async with FakeHelpdesk(case.dialect()).open() as fake:
        fake.ticket(case.id)
        desk = desk_of(case, fake.url, **entry)
        queues = SqliteQueues(folder / "queues.sqlite", limits_of(CONFIG))
        await queues.open()
        house = House(queues, desk, fake)
        try:
            yield house
        finally:
            await house.loop.aclose()
            await queues.aclose()
            await desk.aclose()


def arrival(
    house: House, case: Case, ticket_id: str | None = None, key: str | None = None
) -> Delivery:
    """A signed delivery of a new ticket; `key` replaces the number that names the event."""
    sample = house.desk.sample("https://tc.example.com/webhooks/x", time.time())
    parsed = house.desk.parse(sample)
    assert isinstance(parsed, tuple)
    theirs = parsed[0].ticket_id.removeprefix(case.prefix)
    body = sample.body.replace(theirs.encode(), (ticket_id or case.id).encode())
    if key is not None:
        body = body.replace(b'"id":30211', b'"id":' + key.encode())
    secret = house.desk.account.secrets[0]
    signed = house.desk.sign(body, sample.url, time.time(), secret)
    return structs.replace(sample, body=body, headers={**sample.headers, **signed})


every_case = pytest.mark.parametrize("case", CASES.values(), ids=CASES)


@every_case
async def test_a_signed_delivery_ends_as_a_label_in_the_ticket(case: Case, tmp_path: Path) -> None:
    """From the webhook to the tag, the field and the note, once, and the time of it is known."""
    async with looping(tmp_path, case) as house:
        house.loop.start()
        assert await house.deliver(arrival(house, case)) == 200
        await house.quiet()
        assert Counter(what for what, _ in house.fake.store.seen(case.id)) == case.parts
        assert [ticket.id for ticket in house.model.tickets] == [case.prefix + case.id]
        assert house.watching.statuses == {"written": 1}
        assert len(house.watching.ages_s) == 1


async def test_ten_deliveries_of_one_event_are_one_classification_and_one_write(
    tmp_path: Path,
) -> None:
    """Duplicates get their 2xx and change nothing."""
    async with looping(tmp_path) as house:
        house.loop.start()
        delivery = arrival(house, CHATWOOT)
        statuses = [await house.deliver(delivery) for _ in range(10)]
        await house.quiet()
        assert statuses == [200] * 10
        assert house.watching.deliveries == {"accepted": 1, "duplicate": 9}
        assert len(house.model.tickets) == 1
        assert house.watching.statuses == {"written": 1}


async def test_the_acknowledgement_waits_for_the_disk_and_for_nothing_else(tmp_path: Path) -> None:
    """A 2xx means stored: with no worker running, the event is there for the next process."""
    async with looping(tmp_path) as house:
        assert await house.deliver(arrival(house, CHATWOOT)) == 200
        assert (await house.queues.depth("inbox")).waiting == 1
        assert house.model.tickets == []


async def test_a_full_or_broken_store_answers_what_the_vendor_retries_on(tmp_path: Path) -> None:
    """When the event cannot be stored the answer is the vendor's `send again later`, never a 2xx."""
    async with looping(tmp_path, ZENDESK) as house:
        await house.queues.aclose()
        answer = await house.intake.take("zendesk", arrival(house, ZENDESK))
        assert answer.status == 503
        assert 0 < int(answer.headers["retry-after"]) < 60
        assert house.watching.deliveries == {"busy": 1}


async def test_forged_and_unknown_deliveries_are_refused_and_counted(tmp_path: Path) -> None:
    """One changed byte is a 401, an account that is not configured a 404; nothing is stored."""
    async with looping(tmp_path) as house:
        delivery = arrival(house, CHATWOOT)
        with pytest.raises(NotGenuine):
            await house.deliver(structs.replace(delivery, body=delivery.body + b" "))
        with pytest.raises(NotFound):
            await house.intake.take("nobody", delivery)
        assert house.watching.deliveries == {"not_genuine": 1}
        assert (await house.queues.depth("inbox")).waiting == 0


async def test_failing_models_and_helpdesks_only_delay(tmp_path: Path) -> None:
    """No path answers, then the helpdesk fails in every way: in the end one label, one note."""
    async with looping(tmp_path, call_timeout_s=0.3) as house:
        house.model.failures = [NoPathAnswered("down", retry_after_s=1) for _ in range(2)]
        house.fake.faults_on_writes("429", "applied_500", "drop")
        house.loop.start()
        await house.deliver(arrival(house, CHATWOOT))
        await house.quiet()
        seen = Counter(what for what, _ in house.fake.store.seen(CHATWOOT.id))
        assert seen == {"tag+": 2, "field": 1, "priority": 1, "group": 1, "note": 1}
        assert house.watching.ended["inbox:no_path_answered"] == 2
        assert (await house.queues.depth("outbox")).dead == 0


def _not_that_way(call: ApiCall, store: Store) -> Reply:
    return Reply(422, {"error": "no such field"})


async def test_what_fails_for_ever_is_a_dead_letter_that_can_be_revived(tmp_path: Path) -> None:
    """A write that the helpdesk refuses is buried with the reason, and works once it is allowed."""
    async with looping(tmp_path) as house:
        house.loop.start()
        house.fake.dialect.answer = _not_that_way  # type: ignore[method-assign]
        await house.deliver(arrival(house, CHATWOOT))
        await eventually(lambda: house.watching.ended["outbox:dead_refused"] == 1, within_s=10)
        (letter,) = await house.queues.dead_letters("outbox")
        assert letter.reason == "refused"
        del house.fake.dialect.answer
        assert await house.queues.revive("outbox", letter.id)
        await house.quiet()
        assert "tc_billing" in house.fake.store.tickets[CHATWOOT.id].tags


@pytest.mark.parametrize(
    ("confidence", "tags", "notes"),
    [(0.3, set(), 0), (0.6, {"suggest_billing"}, 0), (0.9, {"tc_billing", "tc_done"}, 1)],
)
async def test_confidence_decides_between_nothing_a_suggestion_and_a_write(
    tmp_path: Path, confidence: float, tags: set[str], notes: int
) -> None:
    """Below the first threshold nothing is written, between them a suggestion, above the label."""
    async with looping(tmp_path) as house:
        house.model.confidence = confidence
        house.loop.start()
        await house.deliver(arrival(house, CHATWOOT))
        await house.quiet()
        ticket = house.fake.store.tickets[CHATWOOT.id]
        assert set(ticket.tags) == tags
        assert len(ticket.notes) == notes


def _chatwoot_change(house: House, labels: list[str], previous: list[str]) -> Delivery:
    """Chatwoot tells of changed labels, and names nobody."""
    body = msgspec.json.encode(
        {
            "event": "conversation_updated",
            "id": int(CHATWOOT.id),
            "account": {"id": 1},
            "labels": labels,
            "updated_at": time.time(),
            "changed_attributes": [
                {"label_list": {"previous_value": previous, "current_value": labels}}
            ],
        }
    )
    secret = house.desk.account.secrets[0]
    headers = house.desk.sign(body, "https://tc.example.com", time.time(), secret)
    return Delivery("POST", "https://tc.example.com", headers, body, time.time())


async def test_our_own_echo_is_dropped_and_an_agents_change_is_a_correction(tmp_path: Path) -> None:
    """The write coming back teaches nothing; another label by an agent reaches the ledger, once."""
    async with looping(tmp_path) as house:
        house.loop.start()
        await house.deliver(arrival(house, CHATWOOT))
        await house.quiet()
        await house.deliver(_chatwoot_change(house, ["tc_billing", "tc_done"], []))
        await house.quiet()
        assert house.corrections.seen == []
        assert house.watching.corrections == {"echo": 1}
        changed = _chatwoot_change(house, ["tc_login", "tc_done"], ["tc_billing", "tc_done"])
        for _ in range(3):
            await house.deliver(changed)
        await house.quiet()
        assert house.corrections.seen == [("chatwoot", CHATWOOT.id, "login", None)]
        assert house.watching.statuses == {"written": 1}, "a correction is never written back"


async def test_a_stopping_loop_finishes_what_it_has_and_leaves_the_rest(tmp_path: Path) -> None:
    """The end of a process loses nothing: the next one finds what was not finished."""
    async with looping(tmp_path) as house:
        house.loop.start()
        for number in range(30):
            ticket_id = str(5000 + number)
            house.fake.ticket(ticket_id)
            await house.deliver(arrival(house, CHATWOOT, ticket_id))
        await house.loop.aclose()
        depths = [await house.queues.depth(queue) for queue in ("inbox", "outbox")]
        assert [depth.claimed for depth in depths] == [0, 0]
        again = House(house.queues, house.desk, house.fake)
        again.loop.start()
        await again.quiet()
        await again.loop.aclose()
        tagged = [t for t in house.fake.store.tickets.values() if "tc_billing" in t.tags]
        assert len(tagged) == 30


async def test_an_accounts_allowance_is_kept(tmp_path: Path) -> None:
    """Ten tickets at once are written no faster than our share of the account's limit."""
    async with looping(tmp_path, writes_per_minute=240, share=0.5) as house:
        house.loop.start()
        started = time.monotonic()
        for number in range(16):
            house.fake.ticket(str(6000 + number))
            await house.deliver(arrival(house, CHATWOOT, str(6000 + number)))
        await house.quiet()
        # 2 per second, after a first burst of 10
        assert time.monotonic() - started > 2.0


async def test_polling_finds_what_no_webhook_told(tmp_path: Path) -> None:
    """Reconciliation classifies tickets of which nothing is known, and leaves known ones alone."""
    entry = {"reconcile": True, "reconcile_every_s": 5.0, "reconcile_back_s": 604_800.0}
    async with looping(tmp_path, CHATWOOT, **entry) as house:
        house.fake.ticket("7001", created_s=int(time.time()) - 60)
        house.loop.start()
        await house.deliver(arrival(house, CHATWOOT))
        await eventually(lambda: "tc_billing" in house.fake.store.tickets["7001"].tags, within_s=15)
        await house.quiet()
        assert sorted(ticket.id for ticket in house.model.tickets) == sorted(["7001", CHATWOOT.id])
