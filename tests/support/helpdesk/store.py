"""What the fake helpdesk keeps: tickets, and every change that somebody could have seen."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, NamedTuple

_EPOCH_S = 1_795_341_600  # 2026-11-22T10:00:00Z


@dataclass
class FakeTicket:
    """One ticket as agents see it. `version` counts its changes and is its `updated_at`."""

    id: str
    subject: str = "A subject"
    body: str = "A body"
    tags: list[str] = field(default_factory=list)
    fields: dict[str, Any] = field(default_factory=dict)
    priority: str | None = None
    group: str | None = None
    notes: list[str] = field(default_factory=list)
    gone: bool = False
    created_s: int = _EPOCH_S
    version: int = 0

    @property
    def stamp(self) -> str:
        moment = datetime.fromtimestamp(_EPOCH_S + self.version, UTC)
        return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


class Change(NamedTuple):
    """One visible change: `what` is tag+, tag-, field, priority, group or note."""

    ticket_id: str
    what: str
    value: str
    by: str


Edit = Callable[[FakeTicket], None]


class Store:
    """Tickets by id. Reads may lag behind writes; every write is recorded by its difference."""

    def __init__(self) -> None:
        self.tickets: dict[str, FakeTicket] = {}
        self.changes: list[Change] = []
        self.lag_s = 0.0
        self._shown: dict[str, list[tuple[float, FakeTicket]]] = {}

    def add(self, ticket: FakeTicket) -> FakeTicket:
        self.tickets[ticket.id] = ticket
        self._shown[ticket.id] = [(float("-inf"), copy.deepcopy(ticket))]
        return ticket

    def find(self, id: str) -> FakeTicket | None:
        """The ticket as it is, for writes."""
        found = self.tickets.get(id)
        return None if found is None or found.gone else found

    def read(self, id: str) -> FakeTicket | None:
        """The ticket as readers see it, `lag_s` late."""
        if self.find(id) is None:
            return None
        until = time.monotonic() - self.lag_s
        states = self._shown[id]
        return next(state for at, state in reversed(states) if at <= until)

    def change(self, id: str, edit: Edit, by: str) -> FakeTicket:
        """Applies an edit and records what of it can be seen."""
        ticket = self.tickets[id]
        before = copy.deepcopy(ticket)
        edit(ticket)
        seen = list(_differences(before, ticket))
        if seen:
            ticket.version += 1
            self.changes += [Change(id, what, value, by) for what, value in seen]
            self._shown[id].append((time.monotonic(), copy.deepcopy(ticket)))
        return ticket

    def seen(self, id: str, by: str = "api") -> list[tuple[str, str]]:
        """The visible changes of one ticket by one side, in their order."""
        return [(c.what, c.value) for c in self.changes if c.ticket_id == id and c.by == by]


def _differences(before: FakeTicket, after: FakeTicket) -> list[tuple[str, str]]:
    found = [("tag+", tag) for tag in after.tags if tag not in before.tags]
    found += [("tag-", tag) for tag in before.tags if tag not in after.tags]
    found += [
        ("field", f"{name}={value}")
        for name, value in after.fields.items()
        if before.fields.get(name) != value
    ]
    found += [("field", f"{name}=") for name in before.fields if name not in after.fields]
    if before.priority != after.priority:
        found.append(("priority", str(after.priority)))
    if before.group != after.group:
        found.append(("group", str(after.group)))
    return found + [("note", note) for note in after.notes[len(before.notes) :]]
