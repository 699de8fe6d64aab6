"""What one call says about its path: pure, and the only place that tells failures apart."""

from __future__ import annotations

from classifier.guards.breaker import Verdict
from classifier.records import REPLIED, Attempt

# Waiting does not help against these: somebody has to do something.
HOPELESS = ("quota", "unauthorised", "model_gone")
# The three meanings of a 429 are: spent (above), slow down, and "the fine-tune is being loaded".
# Pauses without a Retry-After, in seconds: a second is the shortest that the header can ask for;
# a model is loaded in tens of seconds.
_PAUSES_S = {"rate_limited": 1.0, "loading": 5.0}
_LONGEST_PAUSE_S = 120.0  # as the SDK's own limit on Retry-After
_ABOUT_THE_TICKET = ("refused", "cancelled")  # a content filter, or a hedge that lost
_BUSY = ("rate_limited", "loading", "quota", "server_error")


def verdict(attempt: Attempt, given_s: float, slow_s: float, enough_s: float) -> Verdict:
    """`given_s`: the time that the call had. Under `enough_s` its running out says nothing."""
    outcome = attempt.outcome
    if outcome in REPLIED:
        return "bad" if attempt.duration_s > slow_s else "good"
    if outcome in HOPELESS:
        return "hopeless"
    if outcome in _PAUSES_S:
        return "pause"
    if outcome in _ABOUT_THE_TICKET or _was_cut_short(attempt, given_s, enough_s):
        return "nothing"
    return "bad"


def reason(attempt: Attempt) -> str:
    """Why the breaker moved: a closed set."""
    return "slow" if attempt.outcome in REPLIED else attempt.outcome


def pause_s(attempt: Attempt) -> float:
    """What a 429 or a 5xx asks for, within reason; 0.0 for everything else.

    RFC 9110 §10.2.3: Retry-After with a 503 is how long the service is expected to be away.
    """
    if attempt.outcome not in (*_PAUSES_S, "server_error"):
        return 0.0
    asked_s = attempt.retry_after_s
    if asked_s is None:
        asked_s = _PAUSES_S.get(attempt.outcome, 0.0)
    return min(asked_s, _LONGEST_PAUSE_S)


def is_busy(attempt: Attempt) -> bool:
    """429 and 5xx: a server that should not be asked twice for one ticket."""
    return attempt.outcome in _BUSY


def _was_cut_short(attempt: Attempt, given_s: float, enough_s: float) -> bool:
    """Ended by its ticket's own deadline: a caller in a hurry cannot open a breaker."""
    if given_s >= enough_s:
        return False
    # A connection has a part of the call's time; one that is refused fails sooner than that.
    return attempt.outcome == "timeout" or (
        attempt.outcome == "connect" and attempt.duration_s >= 0.3 * given_s
    )
