"""From a label to what a ticket shall carry, and to what of it is still missing. Pure."""

from __future__ import annotations

from collections.abc import Collection
from hashlib import blake2b
from typing import Any, Literal

from msgspec import Struct, structs

from classifier.config.helpdesks import Action, Actions, TagAction
from classifier.helpdesks.port import (
    Effect,
    Held,
    Order,
    Outcome,
    Rate,
    Target,
    WriteStatus,
    Written,
)

Level = Literal["nothing", "suggest", "write"]


def marker(account: str, key: str) -> str:
    """Names the event whose classification is written: short, and the same for every retry."""
    return (
        "tc:" + blake2b(f"{account}\0{key}".encode("utf-8", "replace"), digest_size=8).hexdigest()
    )


def level(action: Action | None, actions: Actions, label: str, confidence: float | None) -> Level:
    """Below the first threshold nothing, from it on suggest, from the second on write."""
    if action is None or (action.labels and label not in action.labels):
        return "nothing"
    if confidence is None:
        return actions.unknown_confidence
    if confidence < action.suggest_from:
        return "nothing"
    return "write" if confidence >= action.write_from else "suggest"


def effect(actions: Actions, label: str, confidence: float | None, mark: str) -> Effect | None:
    """What the config wants done for this label at this confidence; None: nothing at all."""
    levels: dict[Target, Level] = {
        "tag": level(actions.tag, actions, label, confidence),
        "field": level(actions.field, actions, label, confidence),
        "priority": _only_for(actions.priority, actions, label, confidence),
        "group": _only_for(actions.group, actions, label, confidence),
        "note": level(actions.note, actions, label, confidence),
    }
    if set(levels.values()) == {"nothing"}:
        return None
    writes = {target for target, found in levels.items() if found == "write"}
    suggests = "suggest" in levels.values()
    return Effect(
        marker=mark,
        label=label,
        tags=_tags(actions.tag, label) if "tag" in writes else (),
        field=_value(actions.field, label) if "field" in writes else None,
        priority=_value(actions.priority, label) if "priority" in writes else None,
        group=_value(actions.group, label) if "group" in writes else None,
        note=_note(actions, label, confidence, mark, writes=writes, suggests=suggests),
        suggests=_suggests(actions, label) if suggests else (),
        only_suggests=not writes,
    )


def _only_for(
    action: Action | None, actions: Actions, label: str, confidence: float | None
) -> Level:
    """Priority and group have no default value: labels without one are left alone."""
    known = action is not None and label in getattr(action, "values", {})
    return level(action, actions, label, confidence) if known else "nothing"


def _value(action: Action | None, label: str) -> str | None:
    values: dict[str, str] = getattr(action, "values", {})
    return values.get(label, label)


def tag_of(action: TagAction, label: str) -> str:
    return action.values.get(label, action.prefix + label)


def _tags(action: TagAction | None, label: str) -> tuple[str, ...]:
    if action is None:
        return ()
    return (tag_of(action, label), *filter(None, (action.done,)))


def _suggests(actions: Actions, label: str) -> tuple[str, ...]:
    if actions.suggest_with != "tag":
        return ()
    return (actions.suggest_prefix + label,)


def _note(
    actions: Actions,
    label: str,
    confidence: float | None,
    mark: str,
    *,
    writes: set[Target],
    suggests: bool,
) -> str | None:
    shown = "unknown" if confidence is None else f"{confidence:.2f}"
    if "note" in writes and actions.note is not None:
        text = actions.note.text.replace("{label}", label).replace("{confidence}", shown)
    elif suggests and actions.suggest_with == "note":
        text = f"Suggested label: {label} (confidence {shown})."
    else:
        return None
    return f"{text} [{mark}]"


class Rules(Struct, frozen=True):
    """How an account's values read: which tags are labels, which values count as unset."""

    actions: Actions
    usual_priorities: tuple[str, ...] = ()

    def is_label_tag(self, tag: str) -> bool:
        action = self.actions.tag
        if action is None or tag == action.done:
            return False
        return tag.startswith(action.prefix) or tag in action.values.values()

    def shown(self, label: str) -> str:
        """The field's value for a label, or else its tag."""
        if self.actions.field is not None:
            return self.actions.field.values.get(label, label)
        return tag_of(self.actions.tag or TagAction(), label)

    def label_of(self, held: Held) -> str | None:
        """The label that these values stand for: the tag's, else the field's."""
        for tag in held.tags:
            if self.is_label_tag(tag):
                return self._label_of_tag(tag)
        return self._label_of_field(held.field)

    def _label_of_tag(self, tag: str) -> str:
        action = self.actions.tag or TagAction()
        named = {value: label for label, value in action.values.items()}
        return named.get(tag) or tag.removeprefix(action.prefix)

    def _label_of_field(self, value: str | None) -> str | None:
        if self.actions.field is None or value is None:
            return None
        named = {shown: label for label, shown in self.actions.field.values.items()}
        return named.get(value, value)

    def untouched(self, target: Target) -> tuple[str, ...]:
        """Values that new tickets start with."""
        if target == "priority" and self.actions.priority is not None:
            return self.actions.priority.untouched or self.usual_priorities
        if target == "group" and self.actions.group is not None:
            return self.actions.group.untouched
        return ()


Part = Literal["tags", "field", "priority", "group", "note"]


class Missing(Struct, frozen=True, kw_only=True):
    """What is still to be written. Empty: the ticket carries it, or an agent decided otherwise."""

    add: tuple[str, ...] = ()
    drop: tuple[str, ...] = ()
    field: str | None = None
    priority: str | None = None
    group: str | None = None
    note: str | None = None
    kept: tuple[Target, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.parts)

    @property
    def parts(self) -> frozenset[Part]:
        found: dict[Part, object] = {
            "tags": self.add or self.drop,
            "field": self.field,
            "priority": self.priority,
            "group": self.group,
            "note": self.note,
        }
        return frozenset(part for part, value in found.items() if value)

    def without(self, done: Collection[Part]) -> Missing:
        """What is left after these parts."""
        changes: dict[str, Any] = {part: None for part in done if part != "tags"}
        if "tags" in done:
            changes |= {"add": (), "drop": ()}
        return structs.replace(self, **changes)

    def tags(self, now: tuple[str, ...]) -> list[str]:
        """The whole list after the write, for vendors that replace it."""
        left = [tag for tag in now if tag not in self.drop]
        return left + [tag for tag in self.add if tag not in left]


def missing(order: Order, held: Held, rules: Rules, *, noted: bool = False) -> Missing:
    """Compares what shall be with what is; never names a value that somebody else has set.

    `noted`: whether a note with the effect's marker is there already.
    """
    effect = order.effect
    before = order.before.held if order.before is not None else Held()
    kept: list[Target] = []
    add, drop = _tags_missing(order, held, before, rules, kept)
    single: dict[Target, str | None] = {}
    for target in ("field", "priority", "group"):
        want, now, ours = (getattr(each, target) for each in (effect, held, before))
        single[target] = None
        if want is None or want == now:
            continue
        if now is None or now == ours or now in rules.untouched(target):
            single[target] = want
        else:
            kept.append(target)
    return Missing(
        add=add,
        drop=drop,
        field=single["field"],
        priority=single["priority"],
        group=single["group"],
        note=None if noted or kept else effect.note,
        kept=tuple(kept),
    )


def _tags_missing(
    order: Order, held: Held, before: Held, rules: Rules, kept: list[Target]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Tags to add, and own ones of an earlier label to take off."""
    effect = order.effect
    wanted = effect.tags + effect.suggests
    absent = tuple(tag for tag in wanted if tag not in held.tags)
    if not absent:
        return (), ()
    others = [tag for tag in held.tags if rules.is_label_tag(tag) and tag not in effect.tags]
    theirs = [tag for tag in others if tag not in before.tags]
    if theirs or _taken_off(order, held, rules):
        kept.append("tag")
        return (), ()
    stale = [tag for tag in before.tags if tag in held.tags and tag not in wanted]
    return absent, tuple(stale) if effect.tags else ()


def _taken_off(order: Order, held: Held, rules: Rules) -> bool:
    """The done tag says that this label's tag was here; without it, an agent took it off."""
    done = rules.actions.tag.done if rules.actions.tag is not None else ""
    first = order.before is None or order.before.label == order.effect.label
    return bool(done) and first and done in held.tags


def outcome(
    order: Order, kept: tuple[Target, ...], *, wrote: bool, rate: Rate | None = None
) -> Outcome:
    """The result of a write that came to its end. `kept`: what an agent's values kept from it."""
    effect = order.effect
    written = Written(
        effect.label,
        Held(
            tags=() if "tag" in kept else effect.tags,
            field=None if "field" in kept else effect.field,
            priority=None if "priority" in kept else effect.priority,
            group=None if "group" in kept else effect.group,
        ),
    )
    return Outcome(status=_status(effect, kept, wrote=wrote), written=written, kept=kept, rate=rate)


def _status(effect: Effect, kept: tuple[Target, ...], *, wrote: bool) -> WriteStatus:
    if not wrote:
        return "kept_human" if kept else "already"
    return "suggested" if effect.only_suggests else "written"
