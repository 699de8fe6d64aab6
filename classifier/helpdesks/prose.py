"""HTML as a vendor sends it, as the text that a model reads. One pass, whatever the markup."""

from __future__ import annotations

import re
from html import unescape

_NAME = re.compile(r"/?[A-Za-z][A-Za-z0-9]*|!")  # "!": a doctype
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
        silent, text = _still(silent, part) if silent else _next(part)
        found.append(text)
    return _LINES.sub("\n", _SPACES.sub(" ", unescape("".join(found)))).strip()


def _next(part: str) -> tuple[str, str]:
    """What stands after a `<`: what to wait for now, and the text that it brings."""
    if part.startswith("!--"):
        return _still("!--", part[3:])
    tag, closed, text = part.partition(">")
    match = _NAME.match(tag)
    if not closed or match is None:
        return "", "<" + part
    name = match[0].lower()
    if name in _SILENT:
        return name, ""
    return "", ("\n" if name.strip("/") in _BREAKS else "") + text


def _still(silent: str, part: str) -> tuple[str, str]:
    """Whether the wait goes on after this part, and the text that follows its end."""
    if silent == "!--":
        _, ended, text = part.partition("-->")
    else:
        tag, ended, text = part.partition(">")
        ended = ended if tag.lower().rstrip() == "/" + silent else ""
    return ("", text) if ended else (silent, "")
