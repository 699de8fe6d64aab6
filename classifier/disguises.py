"""Ways to hide an order in a ticket, for the injection corpus. Each turns plain words into its disguise."""

from __future__ import annotations

import base64
import codecs
import unicodedata
from collections.abc import Callable, Mapping
from urllib.parse import quote

_LEET = str.maketrans("aeiostAEIOST", "431057431057")
_CYRILLIC = "\u0430\u0441\u0435\u0456\u043e\u0440\u0455\u0445\u0443"
_GREEK = "\u0391\u0392\u0421\u0395\u0397\u0399\u039a\u039c\u039f\u03a1\u03a4\u03a7"
LOOKALIKES = ("aceiopsxyABCEHIKMOPTX", _CYRILLIC + _GREEK)
MORSE = {
    "a": ".-", "b": "-...", "c": "-.-.", "d": "-..", "e": ".", "f": "..-.", "g": "--.", "h": "....",
    "i": "..", "j": ".---", "k": "-.-", "l": ".-..", "m": "--", "n": "-.", "o": "---", "p": ".--.",
    "q": "--.-", "r": ".-.", "s": "...", "t": "-", "u": "..-", "v": "...-", "w": ".--", "x": "-..-",
    "y": "-.--", "z": "--..",
}  # fmt: skip
_FIRST_SELECTORS = 16  # U+FE00 to U+FE0F; the other 240 stand in plane 14


def _bold(text: str) -> str:
    """Mathematical letters, as posts in social networks use them."""
    bold = {"a": 0x1D41A, "A": 0x1D400}
    return "".join(
        chr(bold["a" if c.islower() else "A"] + ord(c.lower()) - ord("a"))
        if c.isascii() and c.isalpha()
        else c
        for c in text
    )


def _morse(text: str) -> str:
    return " / ".join(
        " ".join(MORSE[letter] for letter in word if letter in MORSE)
        for word in text.lower().split()
    )


def _selectors(text: str) -> str:
    """A variation selector for every byte: all of it hides behind one emoji."""
    return "".join(
        chr(0xFE00 + byte) if byte < _FIRST_SELECTORS else chr(0xE0100 + byte - _FIRST_SELECTORS)
        for byte in text.encode()
    )


def _zero_width_bits(text: str) -> str:
    bits = "".join(f"{byte:08b}" for byte in text.encode())
    return bits.replace("0", "\u200b").replace("1", "\u200c")


DISGUISES: Mapping[str, Callable[[str], str]] = {
    "plain": str,
    # visible, and readable for whoever knows how
    "base64": lambda text: base64.b64encode(text.encode()).decode(),
    "rot13": lambda text: codecs.encode(text, "rot13"),
    "hex": lambda text: text.encode().hex(),
    "leet": lambda text: text.translate(_LEET),
    "reversed": lambda text: text[::-1],
    "percent": lambda text: quote(text, safe=""),
    "entities": lambda text: "".join(f"&#{ord(letter)};" for letter in text),
    "morse": _morse,
    # visible, in letters that only look right
    "homoglyph": lambda text: text.translate(str.maketrans(*LOOKALIKES)),
    "full_width": lambda text: "".join(
        chr(ord(c) + 0xFEE0) if "!" <= c <= "~" else "\u3000" if c == " " else c for c in text
    ),
    "bold": _bold,
    "spaced": " ".join,
    "zalgo": lambda text: "".join(f"{c}\u0336\u0321" if c.isalpha() else c for c in text),
    # visible letters, with something between them that is not
    "zero_width": "\u200b".join,
    "soft_hyphen": "\u00ad".join,
    "controls": "\x00".join,
    # nothing to be seen, or something else
    "tags": lambda text: "".join(chr(0xE0000 + ord(c)) for c in text if c.isascii()),
    "selectors": _selectors,
    "zero_width_bits": _zero_width_bits,
    "bidi": lambda text: f"\u202e{text[::-1]}\u202c",
}


def spoken(name: str, text: str) -> str:
    """The text in a disguise; composed, as an input field would send it."""
    return unicodedata.normalize("NFC", DISGUISES[name](text))
