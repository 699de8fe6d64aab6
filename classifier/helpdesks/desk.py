"""What the vendor files share: the order of proof, and read, compare, read again, write."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import ClassVar

from msgspec import Struct

from classifier.config.helpdesks import Helpdesk as Entry
from classifier.config.helpdesks import Vendor
from classifier.helpdesks import signatures
from classifier.helpdesks.api import Answered, Api, Login
from classifier.helpdesks.body import Body
from classifier.helpdesks.echo import correction, is_own
from classifier.helpdesks.effects import Missing, Part, Rules, effect, marker, missing, outcome
from classifier.helpdesks.port import (
    Correction,
    Delivery,
    Effect,
    Event,
    Held,
    HelpdeskFailed,
    Manners,
    Order,
    Outcome,
    Page,
    Parsed,
    Rate,
    Target,
    Written,
)
from classifier.helpdesks.rates import RateHeaders
from classifier.helpdesks.setup import setup_of

_MOST_STEPS = 6


class Account(Struct, frozen=True):
    """One entry with its secrets read. `api` is None for an entry that only listens."""

    entry: Entry
    secrets: signatures.Secrets
    rules: Rules
    api: Api | None = None

    def __repr__(self) -> str:
        return f"Account({self.entry.name})"


class Snapshot(Struct, frozen=True):
    """A ticket as the API shows it now; `whole` is for calls that replace what they carry."""

    held: Held
    whole: Body
    stamp: str = ""


class _Unclear(Exception):  # never leaves this file
    """A write got no answer."""

    def __init__(self, cause: HelpdeskFailed) -> None:
        super().__init__()
        self.cause = cause


class Desk(ABC):
    """One account of one vendor: a subclass per vendor says how it signs, speaks and writes."""

    vendor: ClassVar[Vendor]
    manners: ClassVar[Manners]
    rate: ClassVar[RateHeaders]
    # How the API is called, the usual way first; those that need a user name or client id.
    logins: ClassVar[Mapping[str, Callable[[str, str], Login]]]
    named_logins: ClassVar[frozenset[str]] = frozenset({"basic", "client_credentials"})
    usual_url: ClassVar[str | None] = None
    usual_priorities: ClassVar[tuple[str, ...]] = ()
    # What can be written; the config refuses actions on the rest.
    targets: ClassVar[frozenset[Target]] = frozenset({"tag", "field", "priority", "group", "note"})
    # The vendor's documented limit; None: it names none.
    writes_per_minute: ClassVar[float | None] = None
    signs: ClassVar[bool] = True
    self_hosted: ClassVar[bool] = False
    wants_account: ClassVar[bool] = False
    wants_own_user: ClassVar[bool] = False
    keyless: ClassVar[bool] = False
    # The vendor refuses a write to a ticket that changed since it was read.
    locks: ClassVar[bool] = False
    max_batch: ClassVar[int] = 1
    reconciles: ClassVar[bool] = False

    def __init__(self, account: Account) -> None:
        self.account = account
        self.entry = account.entry
        self.rules = account.rules

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name})"

    @property
    def name(self) -> str:
        return self.entry.name

    @property
    def writes_allowed_per_minute(self) -> float | None:
        """The entry's share of its limit, or of the vendor's; None: no limit is known."""
        limit = self.entry.writes_per_minute or self.writes_per_minute
        return None if limit is None else limit * self.entry.share

    @property
    def api(self) -> Api:
        if self.account.api is None:
            raise HelpdeskFailed("refused")
        return self.account.api

    # ------------------------------------------------------------------------------- in

    def verify(self, delivery: Delivery) -> None:
        entry, secrets = self.entry, self.account.secrets
        if entry.proof == "header":
            signatures.check_header(delivery.headers, entry.proof_header, secrets)
        elif entry.proof == "basic":
            signatures.check_basic(delivery.headers, entry.proof_user, secrets)
        else:
            self._check_signature(delivery)

    @abstractmethod
    def _check_signature(self, delivery: Delivery) -> None:
        """Raises NotGenuine. Not called when the entry wants a shared secret instead."""

    @abstractmethod
    def parse(self, delivery: Delivery) -> Parsed: ...

    @abstractmethod
    def sign(self, body: bytes, url: str, now_s: float, secret: bytes) -> dict[str, str]:
        """The headers with which the vendor would send this body now."""

    def sample(self, url: str, now_s: float) -> Delivery:
        """A correctly signed delivery of a made-up ticket: for `connect --test` and for tests."""
        setup = setup_of(self.vendor)
        body = setup.sample.encode()
        secret = self.account.secrets[0]
        entry = self.entry
        proof = signatures.proof_headers(entry.proof, entry.proof_header, entry.proof_user, secret)
        headers = proof or self.sign(body, url, now_s, secret)
        headers = {"content-type": "application/json", **setup.sample_headers, **headers}
        return Delivery("POST", url, headers, body, now_s)

    def _ignored(self, key: str, why: str, ticket_id: str = "") -> Event:
        return Event(key=key, kind="ignored", account=self.name, ticket_id=ticket_id, why=why)

    def _own(self, actor: str | None) -> bool | None:
        """Whether the vendor names us as the actor."""
        if self.entry.own_user_id is None or not actor:
            return None
        return actor == self.entry.own_user_id

    # ------------------------------------------------------------------------------ out

    def effect(self, label: str, confidence: float | None, key: str) -> Effect | None:
        return effect(self.entry.actions, label, confidence, marker(self.name, key))

    def is_own(self, event: Event, written: Written | None) -> bool:
        return is_own(event, written)

    def correction(self, event: Event, written: Written | None) -> Correction | None:
        return correction(event, written, self.rules)

    async def write(self, order: Order) -> Outcome:
        done: set[Part] = set()
        try:
            return await self._write(order, done)
        except _Unclear as error:
            # It may have been written: looking again too early could show the values of before.
            wait_s = max(self.entry.settle_s, error.cause.retry_after_s or 0.0)
            cause = HelpdeskFailed("unavailable", retry_after_s=wait_s, rate=error.cause.rate)
            return failed(order, cause, partly=bool(done))
        except HelpdeskFailed as error:
            return failed(order, error, partly=bool(done))

    async def _write(self, order: Order, done: set[Part]) -> Outcome:
        mark = order.effect.marker
        noted = order.effect.note is not None and await self._has_note(order.ticket_id, mark)
        seen = await self._look(order.ticket_id)
        todo = missing(order, seen.held, self.rules, noted=noted)
        rate: Rate | None = None
        for _ in range(_MOST_STEPS):
            # What was written is not written twice, even if the vendor still shows old values.
            if not todo.without(done):
                break
            if not self.locks:
                # Only a look right before each call guards what an agent does meanwhile.
                seen = await self._look(order.ticket_id)
                todo = missing(order, seen.held, self.rules, noted=noted)
            left = todo.without(done)
            if left:
                parts, answered = await self._stepped(order.ticket_id, left, seen)
                rate = answered.rate
                done |= parts
        return outcome(order, todo.kept, wrote=bool(done), rate=rate)

    async def _look(self, ticket_id: str) -> Snapshot:
        """Raises HelpdeskFailed for an answer without a ticket: nothing may be read from it."""
        seen = await self._read(ticket_id)
        if not seen.whole.some("id") and not seen.whole.some("key"):
            raise HelpdeskFailed("unavailable")
        return seen

    async def _stepped(
        self, ticket_id: str, left: Missing, seen: Snapshot
    ) -> tuple[frozenset[Part], Answered]:
        try:
            return await self._step(ticket_id, left, seen)
        except HelpdeskFailed as error:
            if error.status == "unavailable":
                raise _Unclear(error) from None
            raise

    @abstractmethod
    async def _read(self, ticket_id: str) -> Snapshot: ...

    async def _has_note(self, ticket_id: str, mark: str) -> bool:
        """Whether a note with this marker is there: an earlier attempt whose answer was lost."""
        raise HelpdeskFailed("refused")

    @abstractmethod
    async def _step(
        self, ticket_id: str, todo: Missing, seen: Snapshot
    ) -> tuple[frozenset[Part], Answered]:
        """Writes as many parts of `todo` as one call takes; says which."""

    async def fetch(self, ticket_id: str) -> Event:
        raise HelpdeskFailed("refused")

    def batch_key(self, order: Order) -> str | None:
        return None

    async def write_many(self, orders: Sequence[Order]) -> Sequence[Outcome]:
        return [await self.write(order) for order in orders]

    async def poll(self, cursor: str) -> Page:
        return Page((), cursor)

    async def aclose(self) -> None:
        if self.account.api is not None:
            await self.account.api.aclose()


def failed(order: Order, error: HelpdeskFailed, *, partly: bool = False) -> Outcome:
    """The outcome of a write that broke off. What was written before counts as ours."""
    written = outcome(order, (), wrote=True).written if partly else None
    return Outcome(
        status=error.status, retry_after_s=error.retry_after_s, written=written, rate=error.rate
    )
