"""All that a clever reader finds in a text: disguises of orders, undone. Knows nothing of our cleaning."""

from __future__ import annotations

import base64
import binascii
import codecs
import html
import re
import unicodedata
from collections.abc import Iterator
from urllib.parse import unquote

from classifier.disguises import LOOKALIKES, MORSE

_TAGS = re.compile("[\U000e0020-\U000e007e]{4,}")
_SELECTORS = re.compile("[\ufe00-\ufe0f\U000e0100-\U000e01ef]{4,}")
_BITS = re.compile("[\u200b\u200c]{32,}")
_BIDI = re.compile("\u202e([^\u202c]*)")
_BASE64 = re.compile(r"[A-Za-z0-9+/]{16,}={0,2}")
_HEX = re.compile(r"(?:[0-9a-f]{2}){8,}")
_MORSE = re.compile(r"[.\-]{1,4}(?: [.\-]{1,4}| /){8,}")
_SPACED = re.compile(r"(?:\S ){6,}\S?(?:  (?:\S ?)+)*")
_UNSEEN = re.compile("[\0-\x08\x0e-\x1f\xad\u200b-\u200f\u2060\ufeff]")
_LEET = str.maketrans("43105 7", "aeios t")
_LOOKALIKES = str.maketrans(*reversed(LOOKALIKES))
_LETTERS = {code: letter for letter, code in MORSE.items()}


def readings(text: str) -> Iterator[str]:
    """The text as it stands, then as every known disguise would have it."""
    yield text
    yield from _hidden(text)
    shown = _UNSEEN.sub("", text)
    plain = _without_marks(unicodedata.normalize("NFKC", shown)).translate(_LOOKALIKES)
    yield plain
    yield from _encoded(plain)


def _hidden(text: str) -> Iterator[str]:
    for run in _TAGS.findall(text):
        yield "".join(chr(ord(letter) - 0xE0000) for letter in run)
    for run in _SELECTORS.findall(text):
        yield bytes(_byte(ord(letter)) for letter in run).decode("utf-8", "replace")
    for run in _BITS.findall(text):
        bits = run.replace("\u200b", "0").replace("\u200c", "1")
        yield bytes(int(bits[n : n + 8], 2) for n in range(0, len(bits) - 7, 8)).decode(
            "utf-8", "replace"
        )
    for run in _BIDI.findall(text):
        yield run[::-1]


def _encoded(text: str) -> Iterator[str]:
    yield html.unescape(text)
    yield unquote(text)
    yield text.translate(_LEET)
    yield text[::-1]
    yield codecs.encode(text, "rot13")
    for run in _BASE64.findall(text):
        yield _decoded(run)
    for run in _HEX.findall(text):
        yield bytes.fromhex(run).decode("utf-8", "replace")
    for run in _MORSE.findall(text):
        yield " ".join(
            "".join(_LETTERS.get(letter, "") for letter in word.split()) for word in run.split("/")
        )
    for run in _SPACED.findall(text):
        yield " ".join(word.replace(" ", "") for word in run.split("   "))


def _byte(place: int) -> int:
    return place - 0xFE00 if place < 0xE0100 else place - 0xE0100 + 16  # noqa: PLR2004 (plane 14)


def _decoded(run: str) -> str:
    try:
        return base64.b64decode(run + "=" * (-len(run) % 4)).decode("utf-8", "replace")
    except binascii.Error:
        return ""


def _without_marks(text: str) -> str:
    """Struck-out and haunted letters as letters; marks that spell words (Indic, Hebrew) stay."""
    return re.sub("[\u0300-\u036f]{2,}|[\u0335-\u0338]", "", unicodedata.normalize("NFD", text))
