"""What a shortened plan is worth: whether the whole one would have said the same."""

from __future__ import annotations

from classifier.records import Attempt
from classifier.routing import Plan


def goes_as_far(shortened: Plan, whole: Plan, decisive: Attempt) -> bool:
    """Whether the whole plan would have ended with this attempt too: only then it is worth remembering."""
    if shortened is whole:
        return True
    if shortened.path != whole.path or decisive.path != whole.path:
        return False
    if not whole.escalate:
        return True
    if decisive.outcome == "abstained":
        return False
    return decisive.confidence is None or decisive.confidence >= whole.escalate[0].below
