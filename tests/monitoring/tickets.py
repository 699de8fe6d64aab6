"""A helpdesk beside the watched service: it sends tickets, takes labels, and its agents correct some."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import msgspec

from classifier.helpdesks.desk import Desk
from tests.helpdesks.cases import CASES, SECRET, desk_of
from tests.support.helpdesk.server import FakeHelpdesk
from tests.support.house import Service

CASE = CASES["chatwoot"]
KEYS = {"HOOK_SECRET": SECRET, "API_KEY": CASE.key}
CONFIG = """
[inbox]
longest_pause_s = 0.2

[[helpdesks]]
name = "acme"
vendor = "chatwoot"
secret_env = ["HOOK_SECRET"]
base_url = "{url}"
account_id = "1"
key_env = "API_KEY"
reconcile = false
[helpdesks.actions]
unknown_confidence = "write"
[helpdesks.actions.tag]
"""


class Tickets:
    """One account's deliveries, correctly signed unless it says otherwise."""

    def __init__(self, fake: FakeHelpdesk, house: Service) -> None:
        self._fake = fake
        self._house = house
        self._desk: Desk = desk_of(CASE, fake.url, name="acme")
        self._arrival: dict[str, Any] = msgspec.json.decode(
            self._desk.sample(fake.url, time.time()).body
        )

    async def come(self, until: float) -> None:
        """Until that moment: a new ticket, it once more, a forged one, and what agents did meanwhile."""
        number = 7_000
        while time.monotonic() < until:
            number += 1
            self._fake.ticket(str(number))
            arrival = self._arrived(number)
            for _ in range(2):
                await self._send(arrival)
            await self._send(arrival, forged=True)
            await self._send({"event": "conversation_typing_on", "id": number})
            await asyncio.sleep(0.25)
            await self._send(_relabelled(number - 1, [], ["tc_billing"]))
            await self._send(_relabelled(number - 1, ["tc_billing"], ["tc_login"]))
        await self._desk.aclose()

    def _arrived(self, number: int) -> dict[str, Any]:
        conversation = self._arrival["conversation"] | {"id": number}
        return {**self._arrival, "content": f"plain {number}", "conversation": conversation}

    async def _send(self, content: dict[str, Any], *, forged: bool = False) -> None:
        body = msgspec.json.encode(content)
        url = f"{self._house.url}/webhooks/acme"
        headers = self._desk.sign(
            body, url, time.time(), (b"another secret" if forged else SECRET.encode())
        )
        answer = await self._house.client.post(
            "/webhooks/acme", content=body, headers={"content-type": "application/json", **headers}
        )
        assert answer.status_code == (401 if forged else 200), answer.text


def _relabelled(number: int, before: list[str], after: list[str]) -> dict[str, Any]:
    """Chatwoot tells of changed labels, and names nobody."""
    change = {"label_list": {"previous_value": before, "current_value": after}}
    return {
        "event": "conversation_updated", "id": number, "account": {"id": 1}, "labels": after,
        "updated_at": time.time(), "changed_attributes": [change],
    }  # fmt: skip
