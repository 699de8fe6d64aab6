"""Reads hostile bytes into tickets: limits first, then parsing; every fault is a 4xx.

The framework's own decoding answers 500 to deep nesting and invalid UTF-8, and takes JSON under
any content type; so bodies are read here.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from difflib import get_close_matches
from typing import Any

import msgspec
from litestar import Request

from classifier.errors import Malformed, TooLarge, Unprocessable, WrongMediaType
from classifier.records import Ticket

_FIELDS = [field.name for field in msgspec.structs.fields(Ticket)]
_decode = msgspec.json.Decoder(Ticket).decode


def check_media_type(request: Request[Any, Any, Any], expected: tuple[str, ...]) -> None:
    """Raises WrongMediaType for another type, another charset than UTF-8, or compressed bodies."""
    value = request.headers.get("content-type", "")
    media_type, _, parameters = value.partition(";")
    if media_type.strip().lower() not in expected:
        raise WrongMediaType(f"send Content-Type: {expected[0]}, not {value[:80]!r}")
    charset = parameters.lower().replace(" ", "").partition("charset=")[2].strip('"')
    if charset not in ("", "utf-8", "utf8"):
        raise WrongMediaType("send the body as UTF-8")
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        raise WrongMediaType("send the body uncompressed, without Content-Encoding")


async def chunks(request: Request[Any, Any, Any], max_bytes: int) -> AsyncIterator[bytes]:
    """The body as it arrives. Raises TooLarge before reading what is announced as too large."""
    announced = request.headers.get("content-length", "")
    if announced.isdecimal() and int(announced) > max_bytes:
        raise _too_large(max_bytes)
    received = 0
    while True:
        message = await request.receive()
        if message["type"] != "http.request":
            raise Malformed("the connection closed in the middle of the body")
        chunk: bytes = message["body"]
        received += len(chunk)
        if received > max_bytes:
            raise _too_large(max_bytes)
        yield chunk
        if not message.get("more_body", False):
            return


async def read_all(request: Request[Any, Any, Any], max_bytes: int) -> bytes:
    return b"".join([chunk async for chunk in chunks(request, max_bytes)])


def read_ticket(data: bytes) -> Ticket:
    """One JSON object as a Ticket. Raises Malformed for bytes, Unprocessable for contents."""
    try:
        return _decode(data)
    except msgspec.ValidationError as error:
        raise Unprocessable(_explain(str(error))) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Malformed(f"the body is not valid JSON in UTF-8: {_fault(error)}") from None


def _explain(message: str) -> str:
    """msgspec's message with the place in front, and the nearest field for an unknown one."""
    _, found, unknown = message.partition("unknown field `")
    if found:
        name = unknown.split("`")[0][:64]
        near = get_close_matches(name, _FIELDS, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"fields: {', '.join(_FIELDS)}"
        return f"unknown field {name!r}; {hint}"
    fault, _, place = message.partition(" - at `$.")
    return f"{place.rstrip('`')}: {fault}" if place else fault


def _fault(error: Exception) -> str:
    if isinstance(error, UnicodeDecodeError):
        return f"byte {error.start} is not UTF-8"
    return "nested too deep" if isinstance(error, RecursionError) else str(error)


def _too_large(max_bytes: int) -> TooLarge:
    return TooLarge(f"the body is larger than {max_bytes} bytes; send less")
