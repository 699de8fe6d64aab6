"""One JSON object a line on stderr; one event a ticket, never its text."""

from __future__ import annotations

import logging
import sys
from datetime import UTC, datetime
from typing import Any, TextIO

import msgspec

from classifier.money import usd
from classifier.records import Classification

log = logging.getLogger("classifier")
_encode = msgspec.json.Encoder(enc_hook=str).encode


def event(level: int, name: str, **fields: Any) -> None:
    """Logs `name` with fields. Errors go by their class: their texts may hold what was sent."""
    if log.isEnabledFor(level):
        log.log(level, name, extra={"fields": fields})


def ticket_classified(classification: Classification, request_id: str) -> None:
    answer, stages = classification.answer, classification.stages
    cost = classification.cost.nanodollars
    event(
        logging.INFO,
        "ticket.classified",
        request_id=request_id,
        label=answer.label,
        confidence=answer.confidence,
        path=answer.path,
        route=classification.route,
        source=classification.source,
        attempts=[f"{a.path}:{a.reason}:{a.outcome}" for a in classification.attempts],
        input_tokens=classification.usage.input_tokens,
        output_tokens=classification.usage.output_tokens,
        cost_usd=None if cost is None else usd(cost),
        total_ms=round(stages.total_s * 1_000, 1),
        model_ms=round(stages.model_s * 1_000, 1),
        simulated=answer.simulated,
    )


class JSONLines(logging.Formatter):
    """`ts`, `level`, `event` and the event's own fields."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "ts": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "event": record.getMessage() if record.name == "classifier" else record.name,
        }
        if record.name != "classifier":
            # asyncio's further lines hold the repr of an exception, and that may hold a ticket.
            line["message"] = record.getMessage().partition("\n")[0]
        line |= getattr(record, "fields", {})
        if record.exc_info and record.exc_info[0] is not None:
            line["error"] = record.exc_info[0].__name__
            line["at"] = _places(record)
        return _encode(line).decode()


class Lines(logging.StreamHandler[TextIO]):
    """A line that cannot be written is lost (a full disk, a closed pipe), and nothing else with it.

    The library's own handler would write a traceback with the record's arguments instead, and glue
    the next line to what is there of the lost one.
    """

    _is_torn = False

    def format(self, record: logging.LogRecord) -> str:
        line = super().format(record)
        if self._is_torn:
            self._is_torn = False
            return f"\n{line}"
        return line

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802, ARG002 -- the library's
        self._is_torn = True


def set_up(level: str) -> None:
    """Our events and the server's through one formatter; libraries' chatter stays off."""
    handler = Lines(sys.stderr)
    handler.setFormatter(JSONLines())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    log.setLevel(level.upper())
    # At debug level these write requests: bodies with ticket text, headers with keys.
    for name in ("openai", "httpx2", "httpcore2", "httpx", "httpcore"):
        logging.getLogger(name).setLevel(logging.WARNING)


def _places(record: logging.LogRecord) -> list[str]:
    """The last frames of a traceback without source lines or values."""
    places = []
    traceback = record.exc_info[2] if record.exc_info else None
    while traceback is not None:
        code = traceback.tb_frame.f_code
        places.append(f"{code.co_filename.rsplit('/', 1)[-1]}:{traceback.tb_lineno} {code.co_name}")
        traceback = traceback.tb_next
    return places[-6:]
