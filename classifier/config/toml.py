"""TOML text into records, with errors that name the file, the line and the nearest valid key."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Iterator
from difflib import get_close_matches
from typing import Any, TypeVar

import msgspec
from msgspec import inspect

from classifier.errors import ConfigError

_HEADER = re.compile(r"^\s*\[(\[)?\s*([^\]]+?)\s*\]")
_TEXT = re.compile(r"\"{3}|'{3}")
_KEY = re.compile(r"^\s*([\w.-]+|\"[^\"]+\")\s*=")
Key = tuple[str | int, ...]
T = TypeVar("T")


class Document:
    """One parsed TOML file that remembers where its keys stand."""

    def __init__(self, name: str, text: str) -> None:
        self.name = name
        try:
            self.tables: dict[str, Any] = tomllib.loads(text)
        except ValueError as error:  # also of an integer with thousands of digits
            raise ConfigError(f"{name}: not valid TOML: {error}") from error
        except RecursionError as error:
            raise ConfigError(f"{name}: not valid TOML: nested too deeply") from error
        self._places = {key: f"{name}:{line}" for key, line in _lines(text)}
        for key, place in list(self._places.items()):  # `[a.b]` is also where `a` begins
            for end in range(1, len(key)):
                self._places.setdefault(key[:end], place)

    def where(self, key: Key) -> str:
        """`file:line` of the nearest line known for this key, for an error message."""
        for end in range(len(key), 0, -1):
            if place := self._places.get(key[:end]):
                return place
        return self.name

    def adopt(self, other: Document, table: str) -> None:
        """Takes over where the keys of an included file's table stand."""
        self._places |= {key: place for key, place in other._places.items() if key[0] == table}


def _lines(text: str) -> Iterator[tuple[Key, int]]:
    """Key path -> line number, by a plain scan: exact for tables and for keys with a line of their own."""
    table: Key = ()
    counts: dict[Key, int] = {}
    inside_text = False
    for number, line in enumerate(text.split("\n"), 1):  # `splitlines` breaks at U+2028, too
        was_inside, inside_text = inside_text, inside_text ^ (len(_TEXT.findall(line)) % 2 == 1)
        if was_inside:
            continue
        if header := _HEADER.match(line):
            table = _resolve(header[2], counts, is_array=bool(header[1]))
            yield table, number
        elif key := _KEY.match(line):
            yield table + _split(key[1]), number


def _split(dotted: str) -> Key:
    return tuple(part.strip().strip("\"'") for part in dotted.split("."))


def _resolve(dotted: str, counts: dict[Key, int], *, is_array: bool) -> Key:
    """`[[routes]]` the second time is ("routes", 1); `[routes.when]` after it ("routes", 1, "when")."""
    key: Key = ()
    parts = _split(dotted)
    for position, part in enumerate(parts):
        key += (part,)
        if is_array and position == len(parts) - 1:
            counts[key] = counts.get(key, -1) + 1
        if key in counts:
            key += (counts[key],)
    return key


def convert(document: Document, value: Any, kind: type[T], key: Key = ()) -> T:
    """Checks unknown keys with a suggestion, then converts; raises ConfigError with the place."""
    _refuse_unknown(document, value, inspect.type_info(kind), key)
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        message, _, path = str(error).partition(" - at `")
        if path.startswith("key` in"):  # `key` in `$.paths`: one of the table's names
            path += "[...]"
        culprit = key + _culprit(path, str(error), value, kind)
        raise ConfigError(f"{document.where(culprit)}: {dotted(culprit)}: {message}") from error


def dotted(key: Key) -> str:
    """("routes", 1, "when") as `routes[1].when`."""
    text = ""
    for part in key:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text or "the file"


def _culprit(path: str, error: str, root: Any, kind: Any) -> Key:
    """msgspec's `.paths[...].kind` as a key; what `[...]` hides is found by leaving the others out."""
    key: Key = ()
    value = root
    for name, position in re.findall(r"\.([^.\[`]+)|\[(\d+|\.\.\.)\]", path):
        if position == "...":
            part: str | int = next(
                (n for n in value if _fails_alone(n, value, error, root, kind)), "..."
            )
        else:
            part = int(position) if position else name
        if isinstance(value, dict) and part not in value:  # a missing key: name its table
            break
        key += (part,)
        value = value[part]
    return key


def _fails_alone(name: str, table: dict[str, Any], error: str, root: Any, kind: Any) -> bool:
    rest = dict(table)
    table.clear()
    table[name] = rest[name]
    try:
        msgspec.convert(root, kind)
    except msgspec.ValidationError as again:
        return str(again) == error
    finally:
        table.clear()
        table.update(rest)
    return False


def _refuse_unknown(document: Document, value: Any, kind: inspect.Type, key: Key) -> None:
    for part, inner_value, inner in _children(document, value, kind, key):
        _refuse_unknown(document, inner_value, inner, key if part is None else (*key, part))


_Child = tuple[str | int | None, Any, inspect.Type]


def _children(document: Document, value: Any, kind: inspect.Type, key: Key) -> Iterable[_Child]:
    """The parts of a value with their types; raises ConfigError for a key that no struct has."""
    match kind, value:
        case inspect.Metadata(type=inner), _:
            return [(None, value, inner)]
        case inspect.UnionType(types=kinds), _:
            return [(None, value, inner) for inner in kinds]
        case inspect.StructType(fields=fields), dict():
            known = {field.encode_name: field.type for field in fields}
            if unknown := [name for name in value if name not in known]:
                _unknown_key(document, (*key, unknown[0]), known)
            return [(name, inner_value, known[name]) for name, inner_value in value.items()]
        case inspect.DictType(value_type=inner), dict():
            return [(name, inner_value, inner) for name, inner_value in value.items()]
        case inspect.VarTupleType(item_type=inner), list():
            return [(position, inner_value, inner) for position, inner_value in enumerate(value)]
    return ()


def _unknown_key(document: Document, key: Key, known: dict[str, inspect.Type]) -> None:
    name = str(key[-1])
    near = get_close_matches(name, known, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]!r}?" if near else f"valid keys: {', '.join(known)}"
    raise ConfigError(f"{document.where(key)}: unknown key {dotted(key)!r}; {hint}")
