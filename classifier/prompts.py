"""Prompt templates in files, rendered once per taxonomy: static part first, ticket last.

file:  static text with $placeholders   ─▶  system message, the same bytes for every ticket
       === ticket ===
       $ticket                          ─▶  user message, one per ticket
"""

from __future__ import annotations

from difflib import get_close_matches
from string import Template

from msgspec import Struct

from classifier.errors import ConfigError
from classifier.fingerprints import fingerprint
from classifier.taxonomy import Taxonomy

DIVIDER = "=== ticket ==="
_CUT = "\n[… {n} characters left out …]\n"


class Prompt(Struct, frozen=True):
    """A rendered template. `version` names its content; `before` and `after` frame the ticket."""

    name: str
    static: str
    before: str
    after: str
    version: str

    def ticket_message(self, text: str, max_chars: int) -> str:
        """The per-ticket part; a longer ticket keeps its head and its tail."""
        return f"{self.before}{head_and_tail(text, max_chars)}{self.after}"


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
    version = f"{name}@{fingerprint(rendered, before, after)}"
    return Prompt(name, rendered, before, after, version)


def head_and_tail(text: str, max_chars: int) -> str:
    """Cuts the middle out of a text that is too long: the wish stands mostly at either end."""
    if len(text) <= max_chars:
        return text
    tail = max_chars // 4
    head = max_chars - tail
    return f"{text[:head]}{_CUT.format(n=len(text) - max_chars)}{text[len(text) - tail :]}"


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
