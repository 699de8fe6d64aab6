"""A ticket's text made fit for a model: what a person reads stays, what only a machine sees goes.

line ends ─▶ hidden characters off ─▶ joiners and selectors kept only where scripts and emoji use them ─▶ NFC
"""

from __future__ import annotations

import re
import unicodedata
from re import IGNORECASE, Pattern

from msgspec import Struct

VERSION = "1"  # of all rules here: a part of every prompt's version, so of every cache key
_CUT = "\n[… {n} characters left out …]\n"

_LINE_END = re.compile("\r\n?|[\v\f\x85\u2028\u2029]")
_ASCII_CONTROL = re.compile("[\0-\x08\x0b-\x1f\x7f]")
_SURROGATE = re.compile("[\ud800-\udfff]")
# The only emoji that are spelt with tag characters (Unicode's RGI list): England, Scotland, Wales.
_FLAGS = "|".join(
    "".join(chr(0xE0000 + ord(letter)) for letter in f"{region}\x7f")
    for region in ("gbeng", "gbsct", "gbwls")
)
# Controls, soft hyphens, bidirectional marks and overrides, fillers, invisible operators, tags,
# the selectors of plane 14 and noncharacters: nothing of it is seen, and all of it can carry text.
_HIDDEN = re.compile(
    "[\0-\x08\x0b-\x1f\x7f-\x9f\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180e\u200e\u200f\u202a-\u202e"
    "\u2060-\u206f\u3164\ufdd0-\ufdef\ufeff\uffa0\ufff0-\ufffb\ufffe\uffff]"
)
_ASTRAL = re.compile("[\U00010000-\U0010ffff]")
_LAST_OF_PLANES = "".join(
    f"{chr(end - 2)}{chr(end - 1)}" for end in range(2 << 16, 18 << 16, 1 << 16)
)
_HIDDEN_ASTRAL = re.compile(
    f"(\U0001f3f4(?:{_FLAGS}))"
    "|[\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff" + _LAST_OF_PLANES + "]"
)
# Scripts whose letters join or stack: there U+200C and U+200D tell words apart.
_JOINING = (
    "\u0600-\u08ff\u0900-\u0dff\u1000-\u109f\u1780-\u18af\u1a20-\u1cff\ua800-\uabff\ufb50-\ufdff"
    "\ufe70-\ufefc\U00010a00-\U00010a5f\U00011000-\U00011fff\U0001e900-\U0001e95f"
)
_EMOJI = "\u2190-\u2328\u232b-\u2adb\u2add-\u2bff\U0001f000-\U0001faff"
_SPACELESS = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff"  # Thai, Lao, Burmese, Khmer
_SELECTOR = re.compile(
    f"(?<![#*0-9©®\u203c-\u2328\u232b-\u2adb\u2add-\u3299{_EMOJI}])[\ufe0e\ufe0f]"
    "|(?<![\u1820-\u18aa])[\u180b-\u180d\u180f]|[\ufe00-\ufe0d]"
)
_JOINER = re.compile(
    f"(?<![{_JOINING}])\u200c"
    f"|(?<![{_JOINING}])(?:(?<![{_EMOJI}\ufe0f])\u200d|\u200d(?![{_EMOJI}]))"
    f"|(?<![{_SPACELESS}])\u200b|\u200b(?![{_SPACELESS}])"
)
_JOINING_AT_ALL = re.compile("[\u180b-\u180d\u180f\u200b-\u200d\ufe00-\ufe0f]")
_LESS_THAN = "[<\N{FULLWIDTH LESS-THAN SIGN}\N{SMALL LESS-THAN SIGN}]"
_SLASH = "[\\s/\N{FULLWIDTH SOLIDUS}\\\\]"
_SPECIAL_TOKEN = re.compile(
    "<(?=[|\N{FULLWIDTH VERTICAL LINE}]|/?(?:s|unk|pad|bos|eos|mask|(?:start|end)_of_(?:turn|image))>)"
    r"|\[(?=/?(?:INST|SYSTEM_PROMPT|AVAILABLE_TOOLS|TOOL_CALLS|TOOL_RESULTS|TOOL_CONTENT|IMG)\])"
)
NO_TAG = "\N{SINGLE LEFT-POINTING ANGLE QUOTATION MARK}"
_HARMLESS = {"<": NO_TAG, "[": "\N{LEFT SQUARE BRACKET WITH QUILL}"}
# More marks on one letter than any language writes (UAX #15 §13): they would take NFC quadratic
# time. What is neither a word character nor ASCII is a superset of them, and found 50 times faster.
_MOST_MARKS = 30
_MAYBE_MARKS = re.compile(rf"[^\w\x00-\x7f]{{{_MOST_MARKS + 1},}}")


class Legible(Struct, frozen=True):
    """A text after `legible`. `stripped`: it held characters that nobody sees."""

    text: str
    stripped: bool


def legible(text: str) -> Legible:
    """Promise: never raises, never longer, linear time, and legible text stays as it is.

    Letters, digits, punctuation, emoji and spaces of every script are kept; so are joiners where
    Persian, Indic and emoji sequences need them, and one variation selector where it has a base.
    """
    text = _LINE_END.sub("\n", text)
    if text.isascii():
        clean = _ASCII_CONTROL.sub("", text)
        return Legible(clean, len(clean) < len(text))
    text = _whole(text)
    clean = _HIDDEN.sub("", text)
    if _ASTRAL.search(clean):  # asked first: this search takes ten times as long as the others
        clean = _HIDDEN_ASTRAL.sub(r"\1", clean)
    found = _settled(clean)
    return Legible(found, len(clean) < len(text) or _lost_joiners(clean, found))


def head_and_tail(text: str, max_chars: int) -> str:
    """Cuts the middle out of a text that is too long: the wish stands mostly at either end."""
    if len(text) <= max_chars:
        return text
    tail = max_chars // 4
    head = max_chars - tail
    return f"{text[:head]}{_CUT.format(n=len(text) - max_chars)}{text[len(text) - tail :]}"


def forgeries(tag: str) -> Pattern[str]:
    """Finds the `<` of whatever could pass for the tag, opening or closing, also in full width."""
    letters = "".join(f"[{re.escape(letter)}{_full_width(letter)}]" for letter in tag)
    return re.compile(rf"{_LESS_THAN}(?={_SLASH}*{letters})", IGNORECASE)


def without_special_tokens(text: str) -> str:
    """Takes the first character off what chat templates use to part one speaker from another.

    A server that renders messages into one text before it counts tokens (vLLM and other servers of
    open models) would read them as its own: ChatML, Llama 3, Gemma, Mistral, DeepSeek, Phi.
    """
    return _SPECIAL_TOKEN.sub(lambda found: _HARMLESS[found.group()], text)


def few_marks(text: str) -> str:
    """Takes off what goes beyond 30 combining marks in a row."""
    return _MAYBE_MARKS.sub(lambda run: _few_marks(run.group()), text)


def _whole(text: str) -> str:
    """Joins halves of surrogate pairs; a half alone has no meaning and becomes U+FFFD."""
    if _SURROGATE.search(text) is None:
        return text
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _settled(text: str) -> str:
    """NFC without idle joiners: both at once, because each can make room for the other."""
    once = _composed(_in_place(text))
    if _JOINING_AT_ALL.search(once) is None:
        return once
    twice = _composed(_in_place(once))
    # Only text made for it changes again: it loses all of them.
    return once if twice == once else _composed(_JOINING_AT_ALL.sub("", twice))


def _in_place(text: str) -> str:
    """Selectors and joiners only where a script or an emoji has a use for them."""
    if _JOINING_AT_ALL.search(text) is None:
        return text
    return _JOINER.sub("", _SELECTOR.sub("", text))


def _composed(text: str) -> str:
    """NFC, where that is not longer: some letters of Hindi and Hebrew would be taken apart."""
    text = few_marks(text)
    composed = few_marks(unicodedata.normalize("NFC", text))
    return composed if len(composed) <= len(text) else text


def _few_marks(run: str) -> str:
    kept, marks = [], 0
    for character in run:
        marks = marks + 1 if unicodedata.combining(character) else 0
        if marks <= _MOST_MARKS:
            kept.append(character)
    return "".join(kept)


def _lost_joiners(before: str, after: str) -> bool:
    return len(_JOINING_AT_ALL.findall(after)) < len(_JOINING_AT_ALL.findall(before))


def _full_width(letter: str) -> str:
    """The same letter as East Asian keyboards type it."""
    return "".join(chr(ord(case) + 0xFEE0) for case in {letter.lower(), letter.upper()})
