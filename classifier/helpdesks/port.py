"""The socket of a helpdesk account: what goes in, what comes out, and what a vendor file promises.

Delivery ─▶ verify ─▶ parse ─▶ Event … (inbox, classification, outbox) … Effect ─▶ write ─▶ Outcome
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Protocol

from msgspec import Struct, field

from classifier.config.helpdesks import Vendor
from classifier.records import Ticket

# Closed sets: every one of them is a metric label.
EventKind = Literal["arrived", "changed", "ignored"]
Target = Literal["tag", "field", "priority", "group", "note"]
WriteStatus = Literal[
    "written",  # the ticket carries the effect now; it did not before
    "already",  # it carried it before: an earlier attempt, or an agent who agrees
    "kept_human",  # somebody has set another value, and that stays
    "suggested",  # only suggestions were written: the confidence was between the thresholds
    "rate_limited",  # nothing was written; again after `retry_after_s`
    "conflict",  # nothing was written: the ticket changed while we looked; again at once
    "gone",  # no such ticket any more: deleted, merged, spam
    "unauthorised",  # the key is wrong or lacks rights: somebody has to act; again later
    "refused",  # the helpdesk will not take this write however often it is sent
    "unavailable",  # no answer, or a server error: nothing or all was written; again later
]
RETRIED: frozenset[str] = frozenset({"rate_limited", "conflict", "unauthorised", "unavailable"})


class Delivery(Struct, frozen=True):
    """One request to `/webhooks/{source}` as it came.

    `url` is the public one that the vendor called (HubSpot signs it), `headers` have lower-case
    names and Latin-1 values, `received_at_s` is Unix time. Everything here is hostile.
    """

    method: str
    url: str
    headers: dict[str, str]
    body: bytes
    received_at_s: float

    def __repr__(self) -> str:
        return f"Delivery({self.method}, {len(self.body)} bytes)"  # it holds text and secrets


class Answer(Struct, frozen=True):
    """What a vendor is told over HTTP."""

    status: int
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""


class Handshake(Struct, frozen=True):
    """A delivery that carries no event and wants a certain answer: a set-up challenge, a ping."""

    answer: Answer


class Manners(Struct, frozen=True, kw_only=True):
    """How to answer a vendor's deliveries.

    accepted: the event is safe. busy: overload, drain or a store that is down; it is the answer
    after which this vendor sends again (never 410: it switches webhooks off). resends: whether it
    ever does; where it is false, store before anything can fail and reconcile. ack_deadline_s:
    after which the vendor gives up waiting; None is not known.
    """

    resends: bool
    ack_deadline_s: float | None = None
    accepted: Answer = Answer(200)
    busy: Answer = Answer(503, {"retry-after": "30"})


class Held(Struct, frozen=True, omit_defaults=True):
    """The label-bearing values of a ticket, as the vendor's API names them. None: unset.

    For `field`, `priority` and `group` an absent value and an empty one are both None.
    """

    tags: tuple[str, ...] = ()
    field: str | None = None
    priority: str | None = None
    group: str | None = None


class Change(Struct, frozen=True, omit_defaults=True):
    """One label-bearing value that changed: a tag set's members, or a single value's from and to.

    `removed` is empty when the vendor does not say what stood there before.
    """

    target: Target
    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()


class Event(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One thing that happened to one ticket, signed for by the vendor.

    `key` is the same for every delivery of the same event and unique within `account`; dedupe on
    (account, key). arrived: a ticket or a customer's message to classify; `ticket` is None when
    the vendor sent only its id, then `fetch` it. changed: label-bearing values changed, perhaps
    by us: see `helpdesks.echo`. ignored: acknowledge and forget; `why` says why.
    `own` is True when the vendor names us as the actor, False when it names another, None when it
    names nobody. `held` are the values after the event, where the delivery tells them all.
    """

    key: str
    kind: EventKind
    account: str
    ticket_id: str = ""
    ticket: Ticket | None = None
    changes: tuple[Change, ...] = ()
    held: Held | None = None
    actor: str | None = None
    own: bool | None = None
    stamp: str = ""
    happened_at_s: float | None = None
    why: str = ""

    def __repr__(self) -> str:
        return f"Event({self.kind}, {self.account}, {self.key})"  # without the ticket's text


Parsed = tuple[Event, ...] | Handshake


class Written(Struct, frozen=True, omit_defaults=True):
    """What we last wrote to a ticket: keep it with the outbox, give it back with the next Effect.

    It tells our own echo from an agent's correction where the vendor names no actor, and our own
    old value, which may be replaced, from an agent's, which may not.
    """

    label: str
    held: Held


class Effect(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What one ticket shall carry, in the vendor's values: made by `helpdesks.effects.effect`.

    `marker` names the event that caused it: the same for every retry, another for the next event.
    None and empty leave a value alone. `suggests` are tags that say what we would have written.
    """

    marker: str
    label: str
    tags: tuple[str, ...] = ()
    field: str | None = None
    priority: str | None = None
    group: str | None = None
    note: str | None = None
    suggests: tuple[str, ...] = ()
    only_suggests: bool = False


class Rate(Struct, frozen=True):
    """What the vendor last said about its limit. None: it did not say. `reset_s` from now on."""

    limit: int | None = None
    remaining: int | None = None
    reset_s: float | None = None
    retry_after_s: float | None = None


class Outcome(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What became of one Effect. `written` is what to remember as ours, also after `already`.

    `kept` names what an agent's value kept us from writing. A status in RETRIED wants the same
    Effect again, not before `retry_after_s` when that is set.
    """

    status: WriteStatus
    retry_after_s: float | None = None
    written: Written | None = None
    kept: tuple[Target, ...] = ()
    rate: Rate | None = None


class Order(Struct, frozen=True):
    """One Effect on its way to one ticket, with what we wrote there before."""

    ticket_id: str
    effect: Effect
    before: Written | None = None


class Correction(Struct, frozen=True, omit_defaults=True):
    """An agent gave a ticket another label. `to_label` None: took ours off and gave none.

    `from_label` None: nobody remembers what we wrote. `by` is the vendor's id of the agent.
    """

    account: str
    ticket_id: str
    from_label: str | None
    to_label: str | None
    by: str | None = None
    at_s: float | None = None


class Page(Struct, frozen=True):
    """A step of reconciliation: tickets as events, and where to go on. `more`: ask again now."""

    events: tuple[Event, ...]
    cursor: str
    more: bool = False


class HelpdeskFailed(Exception):
    """A read failed: `status` says how, as in RETRIED, or gone or refused."""

    def __init__(
        self, status: WriteStatus, *, retry_after_s: float | None = None, rate: Rate | None = None
    ) -> None:
        super().__init__(status)
        self.status: WriteStatus = status
        self.retry_after_s = retry_after_s
        self.rate = rate


class Helpdesk(Protocol):
    """One account of one vendor.

    Promise: `verify` raises NotGenuine and nothing else; `parse` raises Malformed and nothing
    else; both do no I/O and hold for any bytes. Call `parse` only after `verify`.
    """

    @property
    def name(self) -> str:
        """The `name` of its `[[helpdesks]]` entry: `{source}` of its URL, and a metric label."""
        ...

    @property
    def vendor(self) -> Vendor: ...

    @property
    def manners(self) -> Manners: ...

    @property
    def writes_allowed_per_minute(self) -> float | None:
        """Our share of the account's limit; None: no limit is known."""
        ...

    def verify(self, delivery: Delivery) -> None:
        """Returns when the raw body is the vendor's, fresh, by any of the secrets; else raises."""
        ...

    def parse(self, delivery: Delivery) -> Parsed: ...

    def sample(self, url: str, now_s: float) -> Delivery:
        """A correctly signed delivery of a made-up ticket: for `connect --test` and for tests."""
        ...

    async def fetch(self, ticket_id: str) -> Event:
        """The ticket behind a thin event, as an event with `ticket`. Raises HelpdeskFailed."""
        ...

    def effect(self, label: str, confidence: float | None, key: str) -> Effect | None:
        """What the entry's actions make of a label; `key` is the event's. None: nothing to do."""
        ...

    def is_own(self, event: Event, written: Written | None) -> bool:
        """Whether a `changed` event is our own write coming back, and can be dropped."""
        ...

    def correction(self, event: Event, written: Written | None) -> Correction | None:
        """The correction that a `changed` event is; None for echoes and for other changes."""
        ...

    async def write(self, order: Order) -> Outcome:
        """Reads, compares and writes what is missing, in one write where the vendor can.

        Promise: never raises (but for cancellation); never replaces a value that is neither unset
        nor `order.before`'s; the same Order again changes nothing that it changed before.
        """
        ...

    @property
    def max_batch(self) -> int:
        """How many orders `write_many` takes; 1: the vendor has no batches."""
        ...

    def batch_key(self, order: Order) -> str | None:
        """Orders with the same key may share a batch; None must go through `write`."""
        ...

    async def write_many(self, orders: Sequence[Order]) -> Sequence[Outcome]:
        """One outcome per order, in their sequence. Promises as `write`."""
        ...

    @property
    def reconciles(self) -> bool:
        """Whether `poll` finds anything."""
        ...

    async def poll(self, cursor: str) -> Page:
        """Tickets that changed since `cursor` ("": as far back as the entry says).

        Includes tickets that were classified; the caller compares. Raises HelpdeskFailed.
        """
        ...

    async def aclose(self) -> None: ...
