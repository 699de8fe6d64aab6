"""Prompt templates in files, rendered once per taxonomy: static part first, ticket last.

file:  static text with $placeholders   ─▶  system message, the same bytes for every ticket
       === ticket ===
       <ticket>$ticket</ticket>         ─▶  user message, one per ticket

A tag that opens right before $ticket and closes right after it marks the ticket's boundaries: a
ticket that writes the tag itself has the `<` of it replaced, so that the only end is the real one.
"""

from __future__ import annotations

import re
from difflib import get_close_matches
from re import Pattern
from string import Template

from msgspec import Struct

from classifier.errors import ConfigError
from classifier.fingerprints import fingerprint
from classifier.taxonomy import Taxonomy
from classifier.text import NO_TAG, VERSION, forgeries, head_and_tail, without_special_tokens

DIVIDER = "=== ticket ==="
_OPENED = re.compile(r"<([A-Za-z][A-Za-z0-9_-]*)>\s*$")


class Prompt(Struct, frozen=True):
    """A rendered template. `version` names its content; `before` and `after` frame the ticket.

    `forged` finds what could pass for the frame's tag; None when the frame marks no boundaries.
    """

    name: str
    static: str
    before: str
    after: str
    version: str
    forged: Pattern[str] | None = None

    def ticket_message(self, text: str, max_chars: int) -> str:
        """The per-ticket part; a longer ticket keeps its head and its tail."""
        text = without_special_tokens(head_and_tail(text, max_chars))
        if self.forged is not None:
            text = self.forged.sub(NO_TAG, text)
        return f"{self.before}{text}{self.after}"


def render(name: str, text: str, taxonomy: Taxonomy) -> Prompt:
    """Renders a template file's text. Raises ConfigError that names the file and the fault."""
    static, divider, per_ticket = text.partition(DIVIDER)
    if not divider or DIVIDER in per_ticket:
        raise ConfigError(
            f"{name}: a prompt has exactly one line {DIVIDER!r} before its ticket part"
        )
    values = _values(taxonomy)
    rendered = _substitute(name, static, values).strip()
    before, after = (
        _substitute(name, part, values) for part in _around_ticket(name, per_ticket.strip())
    )
    version = f"{name}@{fingerprint(rendered, before, after, VERSION)}"
    tag = _tag(before, after)
    return Prompt(name, rendered, before, after, version, forgeries(tag) if tag else None)


def _tag(before: str, after: str) -> str | None:
    """The name of the tag that opens right before the ticket and closes right after it."""
    opened = _OPENED.search(before)
    if opened is None or not after.lstrip().startswith(f"</{opened[1]}>"):
        return None
    return opened[1]


def _around_ticket(name: str, text: str) -> tuple[str, str]:
    """The text before and after $ticket, which is neither $$ticket nor $tickets."""
    used = [
        match
        for match in Template.pattern.finditer(text)
        if "ticket" in (match["named"], match["braced"])
    ]
    if len(used) != 1:
        raise ConfigError(f"{name}: the ticket part must hold $ticket exactly once")
    return text[: used[0].start()], text[used[0].end() :]


def _values(taxonomy: Taxonomy) -> dict[str, str]:
    return {
        "taxonomy_name": taxonomy.name,
        "abstain": taxonomy.abstain,
        "label_names": ", ".join(taxonomy.names),
        "label_count": str(len(taxonomy.labels)),
        "label_descriptions": "\n".join(
            f"- {label.name}: {label.description}" if label.description else f"- {label.name}"
            for label in taxonomy.labels
        ),
        "label_examples": "\n".join(
            f"{example} -> {label.name}" for label in taxonomy.labels for example in label.examples
        ),
        "rules": "\n".join(f"- {rule}" for rule in taxonomy.rules),
    }


def _substitute(name: str, text: str, values: dict[str, str]) -> str:
    template = Template(text)
    if not template.is_valid():
        raise ConfigError(f"{name}: a lone $ in the text; write $$ for a dollar sign")
    for used in template.get_identifiers():
        if used not in values:
            near = get_close_matches(used, values, n=1)
            hint = (
                f"did you mean ${near[0]}?" if near else f"there are: {', '.join(sorted(values))}"
            )
            raise ConfigError(f"{name}: unknown placeholder ${used}; {hint}")
    return template.substitute(values)
