"""HTML as a vendor sends it, as the text that a model reads. One pass, whatever the markup."""

from __future__ import annotations

import re
from html import unescape

_NAME = re.compile(r"/?[A-Za-z][A-Za-z0-9]*")
_SILENT = frozenset({"script", "style", "head", "title"})
_BREAKS = frozenset(
    {"br", "p", "div", "li", "tr", "h1", "h2", "h3", "h4", "h5", "h6"}
    | {"blockquote", "table", "ul", "ol", "hr", "section", "article", "pre"}
)
_SPACES = re.compile(r"[ \t\r\f\v\xa0]+")
_LINES = re.compile(r" ?\n[ \n]*")


def text_of(html: str) -> str:
    """Without tags, comments, scripts and styles; block elements begin new lines.

    Linear in the input: a text that only looks like markup stays.
    """
    first, *rest = html.split("<")
    found = [first]
    silent = ""  # the element, or "!--", whose end is waited for
    for part in rest:
        tag, closed, text = part.partition(">")
        name = tag[:3] if tag.startswith("!--") else _name(tag)
        if silent:
            silent, text = _still(silent, name, part, text)
            found.append(text)
        elif not name or not closed:
            found.append("<" + part)
        else:
            silent = _opens(name, tag)
            found.append("" if silent else ("\n" if name.strip("/") in _BREAKS else "") + text)
    return _LINES.sub("\n", _SPACES.sub(" ", unescape("".join(found)))).strip()


def _name(tag: str) -> str:
    if tag.startswith("!"):
        return "!"  # a doctype
    match = _NAME.match(tag)
    return match[0].lower() if match else ""


def _opens(name: str, tag: str) -> str:
    """What to wait for after this tag."""
    if name == "!--":
        return "" if tag.endswith("--") and len(tag) > len("!--") else "!--"
    return name if name in _SILENT else ""


def _still(silent: str, name: str, part: str, text: str) -> tuple[str, str]:
    """Whether the wait goes on after this part, and the text that follows its end."""
    if silent == "!--":
        _, ended, text = part.partition("-->")
        return ("", text) if ended else (silent, "")
    return ("", text) if name == "/" + silent else (silent, "")
