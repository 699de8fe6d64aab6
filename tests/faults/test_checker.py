"""The checker finds what it is there for: every lie that a service could tell about a ticket."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.support.checker import Books, Charged, Metrics, Told, answer_errors, book_errors, leaks

TRUE = Told(
    "t1", "billing", 1.0, 200, "200 short", answers="t1", label="billing", path="short",
    source="model", took_s=0.5,
)  # fmt: skip
PAGE = """\
classifier_http_requests_total{{route="/classify",status="2xx"}} {answered}
classifier_http_requests_total{{route="/classify",status="5xx"}} {failed}
classifier_tickets_total{{door="classify",path="short",source="model",outcome="labelled"}} {answered}
classifier_attempts_total{{path="short",reason="answer",outcome="labelled"}} {replied}
classifier_uncertain_costs_total{{path="short",reason="answer",status="unknown"}} {unknown}
classifier_tokens_total{{path="short",reason="answer",kind="input"}} {tokens}
classifier_tokens_total{{path="short",reason="answer",kind="output"}} {replied}
classifier_cost_dollars_total{{path="short",reason="answer"}} {dollars}
classifier_tickets_in_flight {in_flight}
"""
NOTHING = {
    "answered": 0, "failed": 0, "replied": 0, "unknown": 0, "tokens": 0, "dollars": 0.0, "in_flight": 0,
}  # fmt: skip
# One ticket that the model charged 10 tokens in and 1 out for: 10 x 300 + 1,200 nano-dollars.
ONE = NOTHING | {"answered": 1, "replied": 1, "tokens": 10, "dollars": 0.0000042}


def _books(charged: Charged = Charged(), **said: float) -> Books:  # noqa: B008 -- frozen
    page = PAGE.format(**(NOTHING | said))
    return Books({"short": charged}, Metrics(page), Counter({"watch": 1}), 50, 2**20)


def _errors(said: dict[str, float], charged: Charged, told: list[Told]) -> list[str]:
    return list(book_errors(_books(), _books(charged, **said), told))


def test_true_books_agree() -> None:
    """One ticket, charged, booked, answered: nothing to say."""
    assert _errors(ONE, Charged(1, 10, 0, 1), [TRUE]) == []


def test_unknown_cost_is_no_lie() -> None:
    """A call that was charged and whose answer never came is in order when it is counted apart."""
    assert _errors(ONE | {"unknown": 1}, Charged(2, 20, 0, 2), [TRUE]) == []


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"answered": 2}, "clients were told 1 times 2xx"),
        ({"failed": 1}, "clients were told 0 times 5xx"),
        ({"answered": 0}, "1 tickets have a label"),
        ({"replied": 0}, "0 replies are booked"),
        ({"replied": 2}, "more is booked than was charged"),
        ({"tokens": 9}, "charged"),
        ({"tokens": 11, "unknown": 1}, "more is booked"),
        ({"dollars": 0.0000043}, "4300 nano-dollars"),
        ({"in_flight": 1}, "in flight"),
    ],
    ids=str,
)
def test_book_lies_are_found(change: dict[str, float], words: str) -> None:
    """Each figure that is not as it must be is an error of its own."""
    assert words in "; ".join(_errors(ONE | change, Charged(1, 10, 0, 1), [TRUE]))


@pytest.mark.parametrize(
    ("lie", "words"),
    [
        ({"status": 500, "seen": "500 internal"}, "500 internal"),
        ({"status": 0, "seen": "no answer: ReadError"}, "no answer"),
        ({"answers": "t2"}, "answer to t2"),
        ({"label": "login"}, "login, not billing"),
        ({"took_s": 1.26}, "260 ms late"),
    ],
    ids=str,
)
def test_bad_answers_are_found(lie: dict[str, object], words: str) -> None:
    """A bug's 500, silence, another's answer, a wrong label and a late answer."""
    assert words in "; ".join(answer_errors([TRUE._replace(**lie)], lag_s=0.1))  # type: ignore[arg-type]


def test_machine_may_stand_still() -> None:
    """What service and client could not help is not held against the service."""
    assert list(answer_errors([TRUE._replace(took_s=1.24)], lag_s=0.1)) == []
    assert list(answer_errors([TRUE._replace(took_s=1.04)], lag_s=0.0)) == []


def test_leaks_are_found() -> None:
    """A task more than before, or more descriptors than the pools may hold."""
    before = _books()
    more = before._replace(tasks=Counter({"watch": 1, "ask": 2}), descriptors=55)
    assert list(leaks(before, more, spare_descriptors=4)) == [
        "tasks left behind: {'ask': 2}",
        "5 descriptors more than before",
    ]
    assert list(leaks(more, before, spare_descriptors=0)) == []
