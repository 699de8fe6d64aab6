"""How a ticket's walk ends: with an answer, or with the error that says why there is none."""

from __future__ import annotations

from math import ceil

from classifier.attempts import Run
from classifier.errors import NoLabel, NoPathAnswered, OutOfTime
from classifier.records import Answer, Usage

_RETRY_AFTER_S = 2


def out_of_time() -> OutOfTime:
    return OutOfTime("the ticket's time budget passed", retry_after_s=_RETRY_AFTER_S)


def checked(answer: Answer | None, run: Run) -> Answer:
    """The answer; without one the error that says why: OutOfTime, NoLabel or NoPathAnswered."""
    if answer is not None:
        return answer
    if run.out_of_time:
        raise out_of_time()
    if run.attempts and all(a.outcome in ("not_a_label", "refusal") for a in run.attempts):
        raise NoLabel(
            "every model asked replied without a label of the taxonomy",
            retry_after_s=_RETRY_AFTER_S,
        )
    asked = [f"{a.path}: {a.outcome}" for a in run.attempts]
    skipped = [f"{s.path}: {s.why}" for s in run.skipped]
    raise NoPathAnswered(
        f"no path could answer ({', '.join(asked + skipped)}); try again later",
        retry_after_s=_retry_after_s(run),
    )


def _retry_after_s(run: Run) -> int:
    """When the first path may be asked again, within reason."""
    skipped = [s.for_s for s in run.skipped]
    asked = [a.retry_after_s for a in run.attempts if a.retry_after_s is not None]
    if skipped:
        return max(1, min(120, ceil(min(skipped))))
    return max(1, min(120, round(max(asked)))) if asked else _RETRY_AFTER_S


def used(run: Run) -> Usage:
    """Tokens of all attempts; a detail that one of them does not know is not known of the sum."""
    usages = [attempt.usage for attempt in run.attempts if attempt.usage is not None]
    cached = [u.cached_input_tokens for u in usages]
    written = [u.cache_write_tokens for u in usages]
    return Usage(
        sum(u.input_tokens for u in usages),
        sum(u.output_tokens for u in usages),
        _sum_known(cached),
        _sum_known(written),
    )


def _sum_known(values: list[int | None]) -> int | None:
    known = [value for value in values if value is not None]
    return sum(known) if len(known) == len(values) else None
