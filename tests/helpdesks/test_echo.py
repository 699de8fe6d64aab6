"""Whose change it was: our own echo is dropped, an agent's correction is told."""

from __future__ import annotations

from typing import Any

import pytest

from classifier.helpdesks.echo import correction, is_own
from classifier.helpdesks.effects import Rules
from classifier.helpdesks.port import Change, Correction, Event, Held, Written
from tests.helpdesks.test_effects import ALL

RULES = Rules(ALL)
OURS = Written("billing", Held(("tc_billing", "tc_done"), "b-1", "high", "55"))


def event(**parts: Any) -> Event:
    """A change of ticket 7."""
    return Event(key="k", kind="changed", account="desk", ticket_id="7", **parts)


TAGGED = (Change("tag", ("tc_shipping",), ("tc_billing",)),)
ECHO = (Change("tag", ("tc_billing", "tc_done")),)


@pytest.mark.parametrize(
    ("parts", "written", "own"),
    [
        ({"own": True, "changes": TAGGED}, OURS, True),
        ({"own": False, "changes": ECHO}, OURS, False),
        ({"changes": ECHO}, OURS, True),
        ({"changes": ECHO}, None, False),
        ({"changes": TAGGED}, OURS, False),
        ({"changes": (Change("field", ("b-1",)),)}, OURS, True),
        ({"changes": (Change("field", ("s-1",), ("b-1",)),)}, OURS, False),
        ({"changes": (Change("priority", ("high",)),)}, OURS, True),
        (
            {
                "changes": (
                    *ECHO,
                    Change("priority", ("low",)),
                )
            },
            OURS,
            False,
        ),
        ({"held": OURS.held}, OURS, True),
        ({"held": Held(("tc_billing", "tc_done", "vip"), "b-1", "high", "55")}, OURS, True),
        ({"held": Held(("tc_shipping",), "b-1", "high", "55")}, OURS, False),
        ({}, OURS, False),
    ],
)
def test_our_own_writes_are_known(
    parts: dict[str, Any],
    written: Written | None,
    own: bool,  # noqa: FBT001 -- a table's column
) -> None:
    """By the actor where the vendor names one, else by what we last wrote."""
    assert is_own(event(**parts), written) is own


@pytest.mark.parametrize(
    ("parts", "written", "labels"),
    [
        ({"own": False, "changes": TAGGED}, OURS, ("billing", "shipping")),
        ({"changes": TAGGED}, None, ("billing", "shipping")),
        ({"changes": (Change("field", ("s-1",), ("b-1",)),)}, OURS, ("billing", "s-1")),
        ({"held": Held(("tc_shipping", "vip"))}, OURS, ("billing", "shipping")),
        ({"own": False, "changes": (Change("tag", (), ("tc_billing",)),)}, OURS, ("billing", None)),
        # No correction: other tags, an agent who agrees, our own echo, an old snapshot.
        ({"own": False, "changes": (Change("tag", ("vip",)),)}, OURS, None),
        ({"own": False, "changes": (Change("priority", ("low",), ("high",)),)}, OURS, None),
        ({"own": False, "changes": ECHO}, OURS, None),
        ({"changes": ECHO}, OURS, None),
        ({"held": Held(("vip",))}, OURS, None),
        ({"own": True, "changes": TAGGED}, OURS, None),
    ],
)
def test_a_correction_names_both_labels(
    parts: dict[str, Any], written: Written | None, labels: tuple[str, str | None] | None
) -> None:
    """From what we wrote to what the agent set; None where the label was only taken off."""
    found = correction(event(actor="31", **parts), written, RULES)
    expected = Correction("desk", "7", *labels, by="31") if labels else None
    assert found == expected
