"""Tags by name for vendors whose API wants ids: looked up once, made where they are missing."""

from __future__ import annotations

from collections.abc import Collection
from urllib.parse import parse_qs, urlsplit

from classifier.helpdesks.api import Api
from classifier.helpdesks.body import Body
from classifier.helpdesks.port import HelpdeskFailed

_MOST_PAGES = 50


class NamedTags:
    """The ids of one account's tags. `list_key` names the list in a page of `/tags`."""

    def __init__(self, list_key: str) -> None:
        self._list_key = list_key
        self._ids: dict[str, str] = {}

    async def ids(self, api: Api, names: Collection[str]) -> dict[str, str]:
        """An id per name. Raises HelpdeskFailed."""
        if not self._ids.keys() >= set(names):
            await self._look_up(api)
        return {name: self._ids.get(name) or await self._make(api, name) for name in names}

    async def _look_up(self, api: Api) -> None:
        query: dict[str, str] = {}
        for _ in range(_MOST_PAGES):
            found = (await api.call("GET", "/tags", query=query)).body
            for tag in found.items(self._list_key):
                self._ids[tag.text("name")] = tag.ticket_id("id")
            token = next_token(found)
            if not token:
                break
            query = {"page_token": token}

    async def _make(self, api: Api, name: str) -> str:
        made = (await api.call("POST", "/tags", {"name": name})).body.ticket_id("id")
        if not made:
            raise HelpdeskFailed("refused")
        self._ids[name] = made
        return made


def next_token(page: Body) -> str:
    """Only the token of the next page's address is used: calls go to the configured host."""
    try:
        query = urlsplit(page.text("_pagination", "next")).query
    except ValueError:
        return ""
    return parse_qs(query).get("page_token", [""])[0]
