"""The door for corrections: what label a ticket should have had."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

import msgspec
from litestar import Request, Response, post
from litestar.handlers import HTTPRouteHandler
from msgspec import Meta, Struct

from classifier.api.auth import Doorkeeper
from classifier.api.body import check_media_type, read_all, read_json
from classifier.assembly import Assembly
from classifier.errors import LedgerUnavailable, NotFound, Unprocessable
from classifier.ledger import Classified, Ledger, LedgerAway

_MAX_BYTES = 4_096
_READ_S = 5.0
_Id = Annotated[str, Meta(min_length=1, max_length=256)]


class Feedback(Struct, frozen=True, forbid_unknown_fields=True):
    """`id`: the ticket's. `by`: who says so. `account`: the `[[helpdesks]]` entry it came from."""

    id: _Id
    label: _Id
    by: Annotated[str, Meta(max_length=256)] | None = None
    account: Annotated[str, Meta(max_length=32)] = ""


class Corrected(Struct):
    """The correction as it was written; `predicted` is null for a ticket that nobody remembers."""

    id: str
    label: str
    predicted: Classified | None


_FIELDS = [field.name for field in msgspec.structs.fields(Feedback)]
_decode = msgspec.json.Decoder(Feedback).decode
_encode = msgspec.json.Encoder().encode


def feedback_doors(
    ledger: Ledger | None, assembly: Callable[[], Assembly], door: Doorkeeper
) -> list[HTTPRouteHandler]:
    @post(
        "/feedback",
        summary="Correct a label",
        tags=["tickets"],
        status_code=200,
        request_max_body_size=None,
    )
    async def feedback(request: Request[Any, Any, Any]) -> Response[bytes]:
        door.check(request)
        check_media_type(request, ("application/json",))
        sent = read_json(await read_all(request, _MAX_BYTES, _READ_S), _decode, _FIELDS)
        _check_label(sent.label, assembly())
        if ledger is None:
            raise NotFound("there is no ledger: set CLASSIFIER_DATA_DIR")
        try:
            correction = await ledger.corrected(sent.account, sent.id, sent.label, sent.by)
        except LedgerAway as error:
            raise LedgerUnavailable(
                "the ledger cannot be written now; try again later", retry_after_s=5
            ) from error
        answer = Corrected(correction.id, correction.label, correction.predicted)
        return Response(_encode(answer), status_code=200, media_type="application/json")

    return [feedback]


def _check_label(label: str, assembly: Assembly) -> None:
    names = assembly.taxonomy.names
    if label not in names:
        known = ", ".join(names)
        raise Unprocessable(f"{label[:64]!r} is no label of the taxonomy; labels: {known}")
