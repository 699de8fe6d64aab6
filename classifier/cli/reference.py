"""Print the reference of settings, config keys, metrics or helpdesks as Markdown.

The tables in README.md and docs/ are this command's output; a test compares them.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec
from msgspec import inspect

from classifier.config.schema import Config
from classifier.settings import PREFIX, Settings

_TOPICS = ("settings", "config", "metrics", "helpdesks", "connecting")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("topic", choices=_TOPICS)


def run(options: argparse.Namespace, _: Mapping[str, str]) -> int:
    print("\n".join(lines(options.topic)))
    return 0


def lines(topic: str) -> Iterator[str]:
    """The Markdown of one topic."""
    return {
        "settings": _settings,
        "config": _config,
        "metrics": _metrics,
        "helpdesks": _helpdesks,
        "connecting": _connecting,
    }[topic]()


def _settings() -> Iterator[str]:
    yield "| variable | meaning | default |"
    yield "|---|---|---|"
    info = inspect.type_info(Settings)
    assert isinstance(info, inspect.StructType)  # noqa: S101 -- tells mypy what it is
    for field in info.fields:
        default = "" if field.default in ("", None) else f"`{field.default}`"
        yield f"| `{PREFIX}{field.name.upper()}` | {_meaning(field.type)} | {default} |"


def _config() -> Iterator[str]:
    yield from _section("", inspect.type_info(Config), set())


def _section(path: str, kind: inspect.Type, seen: set[type]) -> Iterator[str]:
    """One heading and table per struct, depth first, in the order of the file."""
    struct = _struct(kind)
    if struct is None or struct.cls in seen:
        return
    seen.add(struct.cls)
    rows = [field for field in struct.fields if _struct(field.type) is None]
    if rows:
        yield f"\n### {f'`{path}`' if path else 'The file'}\n"
        yield " ".join((struct.cls.__doc__ or "").split())
        yield "\n| key | meaning | default |\n|---|---|---|"
        for field in rows:
            yield f"| `{field.encode_name}` | {_meaning(field.type)} | {_default(field)} |"
    for field in struct.fields:
        yield from _section(_key(path, field), field.type, seen)


def _struct(kind: inspect.Type) -> inspect.StructType | None:
    """The struct inside annotations, tables of names, arrays and options."""
    match kind:
        case inspect.StructType():
            return kind
        case inspect.Metadata(type=inner):
            return _struct(inner)
        case inspect.DictType(value_type=inner) | inspect.VarTupleType(item_type=inner):
            return _struct(inner)
        case inspect.UnionType(types=kinds):
            return next(filter(None, map(_struct, kinds)), None)
    return None


def _key(path: str, field: inspect.Field) -> str:
    kind = field.type.type if isinstance(field.type, inspect.Metadata) else field.type
    name = f"{path}.{field.encode_name}" if path else field.encode_name
    if isinstance(kind, inspect.DictType):
        return f"{name}.NAME"
    return f"{name}[]" if isinstance(kind, inspect.VarTupleType) else name


def _meaning(kind: inspect.Type) -> str:
    text = _description(kind)
    choices = _choices(kind)
    return f"{text} ({choices})" if choices and text else text or choices


def _description(kind: inspect.Type) -> str:
    match kind:
        case inspect.Metadata(type=inner, extra_json_schema=extra):
            return str((extra or {}).get("description", "")) or _description(inner)
        case inspect.UnionType(types=kinds):
            return next(filter(None, map(_description, kinds)), "")
    return ""


def _choices(kind: inspect.Type) -> str:
    match kind:
        case inspect.LiteralType(values=values):
            return ", ".join(f"`{value}`" for value in values)
        case inspect.Metadata(type=inner):
            return _choices(inner)
        case inspect.UnionType(types=kinds):
            return next(filter(None, map(_choices, kinds)), "")
    return ""


def _default(field: inspect.Field) -> str:
    if field.required:
        return "required"
    value: Any = field.default
    if value is msgspec.NODEFAULT or value in (None, "", ()):
        return ""
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def _metrics() -> Iterator[str]:
    yield "| metric | type | labels | meaning |"
    yield "|---|---|---|---|"
    from classifier.metrics.catalogue import described

    for name, kind, labels, meaning in described():
        shown = ", ".join(f"`{label}`" for label in labels)
        yield f"| `{name}` | {kind} | {shown} | {meaning} |"


def _helpdesks() -> Iterator[str]:
    """What each vendor's file says of its vendor."""
    from classifier.helpdesks.accounts import DESKS
    from classifier.helpdesks.setup import setup_of

    yield "| vendor | waits | sends again | lock | polled | writes | limit a minute |"
    yield "|---|---|---|---|---|---|---|"
    for vendor, desk in DESKS.items():
        manners, limit = desk.manners, desk.writes_per_minute
        waits = "unknown" if manners.ack_deadline_s is None else f"{manners.ack_deadline_s:g} s"
        cells = [
            f"[{setup_of(vendor).title}](#{_anchor(setup_of(vendor).title)})",
            waits,
            _yes(answer=manners.resends),
            _yes(answer=desk.locks),
            _yes(answer=desk.reconciles),
            ", ".join(target for target in _TARGETS if target in desk.targets),
            "" if limit is None else f"{limit:g}",
        ]
        yield f"| {' | '.join(cells)} |"


_TARGETS = ("tag", "field", "priority", "group", "note")


def _yes(*, answer: bool) -> str:
    return "yes" if answer else "no"


def _anchor(title: str) -> str:
    return re.sub(r"[^\w -]", "", title).lower().replace(" ", "-")


def _connecting() -> Iterator[str]:
    """One walk-through per vendor, from the data beside its file."""
    from classifier.helpdesks.accounts import DESKS
    from classifier.helpdesks.setup import setup_of, walk_through

    for vendor in DESKS:
        setup = setup_of(vendor)
        yield f"\n## {setup.title}\n"
        yield from walk_through(setup, f"https://classifier.example.com/webhooks/{vendor}")
