"""The ledger's two kinds of lines, as they are stored and exported."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec
from msgspec import Struct, structs

from classifier.money import usd
from classifier.records import Classification, Ticket


class Classified(Struct, frozen=True, kw_only=True, tag="classification", omit_defaults=True):
    """One answered ticket. `at`: RFC 3339 in UTC. `account`: the helpdesk's entry, "" for HTTP.

    `cost_usd` is None where it is not known. `subject` and `body` only with `store_text`.
    """

    at: str
    account: str
    id: str
    label: str
    confidence: float | None
    path: str
    model: str
    taxonomy: str
    prompt: str
    source: str
    cost_usd: str | None
    simulated: bool
    subject: str | None = None
    body: str | None = None


class Correction(Struct, frozen=True, kw_only=True, tag="correction", omit_defaults=True):
    """What an agent made of a label. `predicted`: the last answer for the ticket, where one is known."""

    at: str
    account: str
    id: str
    label: str
    by: str | None = None
    predicted: Classified | None = None


Line = Classified | Correction
encode = msgspec.json.Encoder().encode
decode = msgspec.json.Decoder(Line).decode


def classified(
    ticket: Ticket, classification: Classification, account: str, at_s: float, *, with_text: bool
) -> Classified:
    answer, cost = classification.answer, classification.cost
    return Classified(
        at=rfc3339(at_s),
        account=account,
        id=classification.id,
        label=answer.label,
        confidence=answer.confidence,
        path=answer.path,
        model=answer.model,
        taxonomy=answer.taxonomy,
        prompt=answer.prompt,
        source=classification.source,
        cost_usd=None if cost.nanodollars is None else usd(cost.nanodollars),
        simulated=answer.simulated,
        subject=ticket.subject if with_text else None,
        body=ticket.body if with_text else None,
    )


def with_prediction(correction: Correction, predicted: Classified | None) -> Correction:
    """The correction with what was predicted, where it did not know that yet; without its text."""
    if predicted is None or correction.predicted is not None:
        return correction
    return structs.replace(correction, predicted=without_text(predicted))


def without_text(line: Classified) -> Classified:
    return structs.replace(line, subject=None, body=None)


def rfc3339(at_s: float) -> str:
    return datetime.fromtimestamp(at_s, UTC).isoformat(timespec="milliseconds")
