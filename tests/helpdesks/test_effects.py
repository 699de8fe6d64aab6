"""From a label to what is written: levels, values, and what is left alone."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from classifier.config.helpdesks import Actions
from classifier.helpdesks.effects import Rules, effect, marker, missing, outcome
from classifier.helpdesks.port import Held, Order, Written

MARK = marker("desk", "event-1")


def actions_of(**tables: Any) -> Actions:
    """The actions as a config file would give them."""
    return msgspec.convert(tables, Actions)


ALL = actions_of(
    tag={"done": "tc_done"},
    field={"id": "9", "values": {"billing": "b-1"}},
    priority={"values": {"billing": "high"}},
    group={"values": {"billing": "55"}, "untouched": ["1"]},
    note={},
)


@pytest.mark.parametrize(
    ("confidence", "tags", "suggests"),
    [
        (0.0, (), ()),
        (0.49, (), ()),
        (0.5, (), ("suggest_billing",)),
        (0.79, (), ("suggest_billing",)),
        (0.8, ("tc_billing",), ()),
        (1.0, ("tc_billing",), ()),
        (None, (), ("suggest_billing",)),
    ],
)
def test_two_thresholds_make_three_levels(
    confidence: float | None, tags: tuple[str, ...], suggests: tuple[str, ...]
) -> None:
    """Below the first nothing, between them a suggestion, from the second on the write."""
    found = effect(actions_of(tag={}), "billing", confidence, MARK)
    if not tags and not suggests:
        assert found is None
    else:
        assert found is not None
        assert (found.tags, found.suggests) == (tags, suggests)
        assert found.only_suggests == (not tags)


def test_each_action_has_thresholds_of_its_own() -> None:
    """A tag may be written at a confidence at which the group is only suggested."""
    tables = {
        "tag": {"write_from": 0.6},
        "group": {"values": {"billing": "55"}, "write_from": 0.95},
    }
    found = effect(actions_of(**tables), "billing", 0.9, MARK)
    assert found is not None
    assert (found.tags, found.group, found.suggests) == (
        ("tc_billing",), None, ("suggest_billing",),
    )  # fmt: skip


def test_labels_have_actions_of_their_own() -> None:
    """An action for some labels leaves the others alone, and values are named per label."""
    tables = {
        "tag": {"labels": ["shipping"]},
        "field": {"id": "9", "values": {"billing": "b-1"}},
        "priority": {"values": {"outage": "urgent"}},
    }
    found = effect(actions_of(**tables), "billing", 0.9, MARK)
    assert found is not None
    assert (found.tags, found.field, found.priority) == ((), "b-1", None)
    outage = effect(actions_of(**tables), "outage", 0.9, MARK)
    assert outage is not None
    assert (outage.field, outage.priority) == ("outage", "urgent")


def test_a_suggestion_may_be_a_note() -> None:
    """Where tags would be in the way, agents read the suggestion in a note."""
    found = effect(actions_of(suggest_with="note", tag={}), "billing", 0.6, MARK)
    assert found is not None
    assert found.note == f"Suggested label: billing (confidence 0.60). [{MARK}]"
    assert (found.tags, found.suggests, found.only_suggests) == ((), (), True)


@pytest.mark.parametrize(
    "tables",
    [
        {"tag": {"suggest_from": 0.9, "write_from": 0.5}},
        {"tag": {"prefix": "s"}, "suggest_prefix": "s_"},
    ],
)
def test_actions_that_contradict_themselves_are_refused(tables: dict[str, Any]) -> None:
    """Thresholds in the wrong order, or a suggestion that would read as a label."""
    with pytest.raises(msgspec.ValidationError):
        actions_of(**tables)


_tag = st.sampled_from(["tc_billing", "tc_shipping", "tc_done", "vip", "suggest_billing"])
_held = st.builds(
    Held,
    tags=st.lists(_tag, unique=True).map(tuple),
    field=st.sampled_from([None, "b-1", "s-1"]),
    priority=st.sampled_from([None, "high", "low"]),
    group=st.sampled_from([None, "1", "55", "77"]),
)


@given(held=_held, confidence=st.sampled_from([0.6, 0.9]), noted=st.booleans())
def test_no_value_of_anybody_is_ever_replaced(
    held: Held, confidence: float, *, noted: bool
) -> None:
    """Whatever stands in a ticket that we never wrote to, only unset values are filled."""
    rules = Rules(ALL)
    wanted = effect(ALL, "billing", confidence, MARK)
    assert wanted is not None
    todo = missing(Order("1", wanted), held, rules, noted=noted)
    assert todo.drop == ()
    assert todo.field is None or held.field is None
    assert todo.priority is None or held.priority is None
    assert todo.group is None or held.group in (None, "1")
    assert not todo.add or "tc_shipping" not in held.tags
    assert todo.note is None or not (noted or todo.kept)
    # And once it is written, the same order finds nothing more to do.
    after = Held(
        tags=tuple(todo.tags(held.tags)),
        field=todo.field or held.field,
        priority=todo.priority or held.priority,
        group=todo.group or held.group,
    )
    again = missing(Order("1", wanted), after, rules, noted=noted or todo.note is not None)
    assert not again


@given(held=_held)
def test_only_our_own_old_values_give_way(held: Held) -> None:
    """With what we wrote before, a value is replaced exactly when it still is that one."""
    before = Written("shipping", Held(("tc_shipping", "tc_done"), "s-1", "low", "77"))
    wanted = effect(ALL, "billing", 0.9, MARK)
    assert wanted is not None
    todo = missing(Order("1", wanted, before), held, Rules(ALL))
    assert todo.field is None or held.field in (None, "s-1")
    assert todo.priority is None or held.priority in (None, "low")
    assert todo.group is None or held.group in (None, "1", "77")
    assert set(todo.drop) <= {"tc_shipping"}
    assert ("tc_shipping" in todo.drop) <= ("tc_shipping" in held.tags)


def test_markers_tell_events_and_accounts_apart() -> None:
    """One event, one marker; two accounts of one vendor may use the same keys."""
    marks = {marker(account, key) for account in "ab" for key in ("1", "2", "é\ud800")}
    assert len(marks) == 6
    assert marker("a", "1") == marker("a", "1")


@pytest.mark.parametrize(
    ("confidence", "kept", "wrote", "status"),
    [
        (0.9, (), True, "written"),
        (0.9, ("tag",), True, "written"),
        (0.9, (), False, "already"),
        (0.9, ("tag",), False, "kept_human"),
        (0.6, (), True, "suggested"),
    ],
)
def test_an_outcome_says_what_happened(
    confidence: float,
    kept: Any,
    wrote: bool,  # noqa: FBT001 -- a table's column
    status: str,
) -> None:
    """The words of the closed set, and what is remembered as ours."""
    wanted = effect(ALL, "billing", confidence, MARK)
    assert wanted is not None
    found = outcome(Order("1", wanted), kept, wrote=wrote)
    assert found.status == status
    assert found.written is not None
    assert found.written.held.tags == (() if kept else wanted.tags)
