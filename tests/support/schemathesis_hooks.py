"""What schemathesis cannot know from the document: NDJSON, and which paths this config has."""

from __future__ import annotations

from typing import Any

import msgspec
import schemathesis

_PATHS = ("short", "long")


@schemathesis.serializer("application/x-ndjson")
def ndjson(ctx: schemathesis.SerializationContext, value: Any) -> bytes:
    """The generated value as it is, and once more as the body of a ticket."""
    raw = value.encode("utf-8", "surrogatepass") if isinstance(value, str) else repr(value).encode()
    return raw + b"\n" + msgspec.json.encode({"body": repr(value)})


@schemathesis.hook
def map_query(ctx: schemathesis.HookContext, query: dict[str, Any] | None) -> dict[str, Any] | None:
    """Most names that a forced path can have are no path: then the routes decide."""
    if query and isinstance(query.get("path"), str) and len(query["path"]) != 1:
        name = query.pop("path")
        query |= {"path": _PATHS[len(name) % 2]} if name else {}
    return query
