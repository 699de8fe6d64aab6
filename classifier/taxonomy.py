"""The labels, and the only reader that turns a model's words into one of them."""

from __future__ import annotations

import re
import unicodedata
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from classifier.fingerprints import fingerprint

_DECORATION = re.compile(r"[\W_]+")
_MAX_REPLY_CHARS = 1_000  # a label with decoration is far shorter
_PREFIX = re.compile(r"^[\s\"'*_#-]*(?:label|category|answer)[\s\"'*_]*[:=]\s*", re.IGNORECASE)
_LABEL_KEYS = {"label", "category", "answer", "class", "classification", "intent", "queue", "team"}
_NEGATION = re.compile(r"!=|[≠¬]")


class Label(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One label: its name on the wire, what it covers, and sentences that show it."""

    name: Annotated[
        str, Meta(min_length=1, max_length=64, description="exactly what a model must answer")
    ]
    description: Annotated[str, Meta(description="what it covers")] = ""
    examples: Annotated[tuple[str, ...], Meta(description="sentences that show it")] = ()


class Taxonomy(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All labels in a fixed order; `abstain` is the one that says "none of these"."""

    name: Annotated[
        str,
        Meta(
            pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$",
            description="stands in front of the version of the taxonomy",
        ),
    ]
    labels: Annotated[
        tuple[Label, ...], Meta(min_length=2, max_length=255, description="in the prompts' order")
    ]
    abstain: Annotated[str, Meta(description='the label that says "none of these"')] = "other"
    rules: Annotated[
        tuple[str, ...], Meta(description="how to decide between labels, for `$rules`")
    ] = ()

    def __post_init__(self) -> None:
        seen: dict[str, str] = {}
        for label in self.labels:
            key = _bare(label.name)
            if not key:
                raise ValueError(f"label {label.name!r} has no letter or digit")
            if key in seen:
                raise ValueError(f"labels {seen[key]!r} and {label.name!r} cannot be told apart")
            seen[key] = label.name
        if self.abstain not in self.names:
            raise ValueError(f"abstain = {self.abstain!r} is not one of the labels")

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(label.name for label in self.labels)

    @property
    def version(self) -> str:
        """Name and content: changes with every letter that a prompt could show."""
        return f"{self.name}@{fingerprint(self)}"


class LabelReader:
    """Reads a reply's text as a label of one taxonomy.

    Tolerates case, quotes, punctuation, `label:` in front and JSON around the label.
    Promise: returns a label of the taxonomy or None, never a guess from within a sentence.
    """

    def __init__(self, taxonomy: Taxonomy) -> None:
        self.abstain = taxonomy.abstain
        self._by_key = {_bare(name): name for name in taxonomy.names}

    def read(self, text: str | None) -> str | None:
        if not text or len(text) > _MAX_REPLY_CHARS or _NEGATION.search(text):
            return None
        return self._by_key.get(_bare(self.core(text)))

    def may_go_on(self, label: str) -> bool:
        """Whether another label begins like this one, so that a reply cut off here may mean it."""
        begun = _bare(label)
        return any(key != begun and key.startswith(begun) for key in self._by_key)

    def core(self, text: str) -> str:
        """The part of the reply that should be the label: JSON and a `label:` prefix taken off."""
        text = text.strip().removeprefix("```json").strip("`").strip()
        if text[:1] in '{["':
            return _from_json(text)
        if _bare(text) in self._by_key:  # a label may itself be called `Category: hardware`
            return text
        return _PREFIX.sub("", text)


def _from_json(text: str) -> str:
    try:
        value = msgspec.json.decode(text)
    except (msgspec.MsgspecError, RecursionError):
        return text
    while isinstance(value, dict | list) and len(value) == 1:
        name = next(iter(value)) if isinstance(value, dict) else "label"
        value = value[name] if isinstance(value, dict) else value[0]
        if isinstance(value, str) and _bare(name) not in _LABEL_KEYS:  # {"not": "refund"}
            return ""
    return value if isinstance(value, str) else ""


def _bare(text: str) -> str:
    """Case, quotes, spaces, punctuation and ways to write an accent do not tell labels apart."""
    return _DECORATION.sub(" ", unicodedata.normalize("NFKC", text.casefold())).strip()
