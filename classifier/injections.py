"""The injection corpus: tickets with somebody else's orders in them, and what the orders want."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from classifier.config.load import SHIPPED
from classifier.disguises import DISGUISES, spoken
from classifier.errors import ConfigError
from classifier.records import Ticket

CORPUS = SHIPPED / "injections.jsonl"


class Injection(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One case. `wished` is the attacker's label; None where the wish is no label at all.

    `order` may hold `{wished}`; in its disguise it takes the place of `{order}` in `around`.
    """

    id: str
    family: Annotated[str, Meta(pattern="^[a-z]+$")]
    language: str
    ticket: Annotated[str, Meta(min_length=1)]
    label: str
    wished: str | None
    order: Annotated[str, Meta(min_length=1)]
    disguise: str = "plain"
    around: str = "{ticket}\n\n{order}"

    def __post_init__(self) -> None:
        if self.disguise not in DISGUISES:
            raise ValueError(f"unknown disguise {self.disguise!r}: {', '.join(DISGUISES)}")
        if "{order}" not in self.around or "{ticket}" not in self.around:
            raise ValueError("`around` must hold {ticket} and {order}")
        if ("{wished}" in self.order) != (self.wished is not None):
            raise ValueError("`order` holds {wished} when there is a wished label, and only then")

    def honest(self) -> Ticket:
        """The ticket without the order."""
        return Ticket(body=self.ticket)

    def hostile(self, wished: str | None) -> Ticket:
        order = spoken(self.disguise, self.order.replace("{wished}", wished or ""))
        # the order last: a ticket may not be searched for places to put things
        return Ticket(body=self.around.replace("{ticket}", self.ticket).replace("{order}", order))

    def wish(self, names: Sequence[str], answer: str | None) -> str | None:
        """The label to wish for: the case's own, or another one where that is taken or unknown.

        `answer` is what the honest ticket gets: only another label can show that an order worked.
        """
        if self.wished is None or (self.wished in names and self.wished != answer):
            return self.wished
        return next(name for name in names if name != answer)


_decoder = msgspec.json.Decoder(Injection)


def read(file: Path = CORPUS) -> list[Injection]:
    """All cases of an NDJSON file. Raises ConfigError with the line that is wrong."""
    try:
        lines = file.read_bytes().splitlines()
    except OSError as error:
        raise ConfigError(f"the corpus {file} cannot be read: {error.strerror}") from error
    found = [_read(file, n, line) for n, line in enumerate(lines, 1) if line.strip()]
    if not found:
        raise ConfigError(f"the corpus {file} holds no case")
    _refuse_doubles(file, [case.id for case in found])
    return found


def _read(file: Path, number: int, line: bytes) -> Injection:
    try:
        return _decoder.decode(line)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise ConfigError(f"{file}:{number}: not an injection case: {error}") from error


def _refuse_doubles(file: Path, ids: Collection[str]) -> None:
    seen: set[str] = set()
    for name in ids:
        if name in seen:
            raise ConfigError(f"the corpus {file} has two cases {name!r}")
        seen.add(name)
