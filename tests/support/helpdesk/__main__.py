"""The generic receiver as a process: `python -m tests.support.helpdesk PORT`, for load tests.

It knows every ticket that it is told of, and GET / says how many carry a label.
"""

from __future__ import annotations

import sys

import uvicorn

from tests.support.helpdesk.generic import GenericDialect
from tests.support.helpdesk.server import ApiCall, FakeHelpdesk, Reply
from tests.support.helpdesk.store import FakeTicket, Store


class OpenStore(Store):
    """A ticket that nobody made is made when it is asked for."""

    def find(self, id: str) -> FakeTicket | None:
        if id not in self.tickets:
            self.add(FakeTicket(id))
        return super().find(id)


class Counting(GenericDialect):
    """Says what came of it, for whoever looks."""

    def authorised(self, headers: dict[str, str]) -> bool:
        return True  # the signature is checked below, and GET / has none

    def answer(self, call: ApiCall, store: Store) -> Reply:
        if call.method == "GET":
            labelled = sum(bool(ticket.tags) for ticket in store.tickets.values())
            notes = sum(len(ticket.notes) for ticket in store.tickets.values())
            return Reply(200, {"labelled": labelled, "notes": notes})
        return super().answer(call, store)


def main() -> None:
    """Serves until it is ended."""
    fake = FakeHelpdesk(Counting())
    fake.store = OpenStore()
    uvicorn.run(fake, host="127.0.0.1", port=int(sys.argv[1]), log_config=None, lifespan="off")


if __name__ == "__main__":
    main()
