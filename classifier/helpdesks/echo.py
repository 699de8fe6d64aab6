"""Whose change was it: our own write coming back, or an agent's correction? Pure."""

from __future__ import annotations

from classifier.helpdesks.effects import Rules
from classifier.helpdesks.port import Change, Correction, Event, Held, Written


def is_own(event: Event, written: Written | None) -> bool:
    """Whether a `changed` event is our own write coming back, and can be dropped.

    By the actor where the vendor names one; else by comparing with what we last wrote.
    """
    if event.own is not None:
        return event.own
    if written is None:
        return False
    if event.changes:
        return all(_is_ours(change, written.held) for change in event.changes)
    return event.held is not None and _agrees(event.held, written.held)


def _is_ours(change: Change, ours: Held) -> bool:
    if change.target == "tag":
        return bool(change.added) and set(change.added).issubset(ours.tags)
    return change.target != "note" and change.added == (getattr(ours, change.target),)


def _agrees(held: Held, ours: Held) -> bool:
    """Everything that we wrote still stands there."""
    singles = all(
        getattr(ours, name) in (None, getattr(held, name))
        for name in ("field", "priority", "group")
    )
    return singles and set(ours.tags).issubset(held.tags)


def correction(event: Event, written: Written | None, rules: Rules) -> Correction | None:
    """The correction that a `changed` event is; None for an echo and for changes of other things."""
    if event.kind != "changed" or is_own(event, written):
        return None
    from_label, to_label = _labels(event, rules)
    if written is not None:
        from_label = written.label
    if to_label == from_label or (to_label is None and not _took_off(event, written, rules)):
        return None
    return Correction(
        event.account, event.ticket_id, from_label, to_label, event.actor, event.happened_at_s
    )


def _labels(event: Event, rules: Rules) -> tuple[str | None, str | None]:
    """(what stood there, what stands there now), as far as the event tells."""
    removed = rules.label_of(_as_held(event, "removed"))
    added = rules.label_of(_as_held(event, "added"))
    if added is None and event.held is not None and not event.changes:
        added = rules.label_of(event.held)
    return removed, added


def _as_held(event: Event, side: str) -> Held:
    tags: tuple[str, ...] = ()
    field = None
    for change in event.changes:
        values: tuple[str, ...] = getattr(change, side)
        if change.target == "tag":
            tags += values
        elif change.target == "field" and values:
            field = values[0]
    return Held(tags=tags, field=field)


def _took_off(event: Event, written: Written | None, rules: Rules) -> bool:
    """Our label's tag or value was removed, and no other was set."""
    if written is None:
        return rules.label_of(_as_held(event, "removed")) is not None
    gone = _as_held(event, "removed")
    label_tags = {tag for tag in written.held.tags if rules.is_label_tag(tag)}
    field_gone = gone.field is not None and gone.field == written.held.field
    return bool(label_tags & set(gone.tags)) or field_gone
