"""Reads hostile bytes into tickets: limits first, then parsing; every fault is a 4xx.

The framework's own decoding answers 500 to deep nesting and invalid UTF-8, and takes JSON under
any content type; so bodies are read here.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from difflib import get_close_matches
from typing import Any, TypeVar

import msgspec
from litestar import Request

from classifier.errors import Malformed, TooLarge, Unprocessable, WrongMediaType
from classifier.records import Ticket

T = TypeVar("T")
_MOST_DIGITS = 18
_NAME = re.compile("[A-Za-z_]{1,24}")
_FIELDS = [field.name for field in msgspec.structs.fields(Ticket)]
_MIN_BODY_S = 1.0  # a ticket's own time budget may be shorter than its body's way here
_decode = msgspec.json.Decoder(Ticket).decode


def check_media_type(request: Request[Any, Any, Any], expected: tuple[str, ...]) -> None:
    """Raises WrongMediaType for another type, another charset than UTF-8, or compressed bodies."""
    value = request.headers.get("content-type", "")
    media_type, *parameters = (part.strip().lower() for part in value.split(";"))
    if media_type not in expected:
        raise WrongMediaType(f"send Content-Type: {expected[0]}, not {value[:80]!r}")
    charsets = [p.partition("=")[2].strip('"') for p in parameters if p.startswith("charset=")]
    if not {"utf-8", "utf8"}.issuperset(charsets):
        raise WrongMediaType("send the body as UTF-8")
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        raise WrongMediaType("send the body uncompressed, without Content-Encoding")


def check_size(request: Request[Any, Any, Any], max_bytes: int) -> None:
    """Raises TooLarge before anything is read, where the length is announced."""
    announced = request.headers.get("content-length", "")
    digits = announced.lstrip("0")
    if digits.isdecimal() and (len(digits) > _MOST_DIGITS or int(digits) > max_bytes):
        raise _too_large(max_bytes)


async def chunks(request: Request[Any, Any, Any], max_bytes: int) -> AsyncIterator[bytes]:
    """The body as it arrives. Raises TooLarge when it has grown too large."""
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
            break


async def read_all(request: Request[Any, Any, Any], max_bytes: int, timeout_s: float) -> bytes:
    """The whole body. A client that announces more than it sends is not waited for for ever."""
    check_size(request, max_bytes)
    timeout_s = max(timeout_s, _MIN_BODY_S)
    try:
        async with asyncio.timeout(timeout_s):
            return b"".join([chunk async for chunk in chunks(request, max_bytes)])
    except TimeoutError:
        raise Malformed(
            f"the body was not complete after {timeout_s:g} s; check Content-Length"
        ) from None


def read_ticket(data: bytes) -> Ticket:
    """One JSON object as a Ticket. Raises Malformed for bytes, Unprocessable for contents."""
    return read_json(data, _decode, _FIELDS)


def read_json(data: bytes, decode: Callable[[bytes], T], fields: list[str]) -> T:
    """One JSON object as a record. Raises Malformed for bytes, Unprocessable for contents."""
    try:
        return decode(data)
    except msgspec.ValidationError as error:
        raise Unprocessable(_explain(str(error), fields)) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Malformed(_fault(error, data)) from None


def _explain(message: str, fields: list[str]) -> str:
    """msgspec's message with the place in front, and the nearest field for an unknown one."""
    _, found, unknown = message.partition("unknown field `")
    if found:
        name = unknown.split("`")[0][:64]
        near = get_close_matches(name, fields, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"fields: {', '.join(fields)}"
        # A customer's words can end up as a key by mistake: only what looks like a name is told back.
        return (
            f"unknown field {name!r}; {hint}" if _NAME.fullmatch(name) else f"unknown field; {hint}"
        )
    fault, _, place = message.partition(" - at `$.")
    return f"{place.rstrip('`')}: {fault}" if place else fault


def _fault(error: Exception, data: bytes) -> str:
    if not data:
        return "the body is empty; send one JSON object"
    fault = "nested too deep" if isinstance(error, RecursionError) else str(error)
    try:
        data.decode()
    except UnicodeDecodeError as first:  # msgspec counts from the start of a string
        fault = f"byte {first.start} is not UTF-8"
    return f"the body is not valid JSON in UTF-8: {fault}"


def _too_large(max_bytes: int) -> TooLarge:
    return TooLarge(f"the body is larger than {max_bytes} bytes; send less")
