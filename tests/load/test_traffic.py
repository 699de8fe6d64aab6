"""Tickets come from the file, unique or repeated as the scenario wants, and the service takes them."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from random import Random

import msgspec
import pytest

from classifier.records import Ticket
from loadtests.scenario import Arm
from loadtests.scenarios import SCENARIOS, find
from loadtests.schedule import schedule, warm_up
from loadtests.settings import SHIPPED_DATA, LoadError
from loadtests.traffic import Either, Outbreak, Repeated, Row, Texts, Unique, read_rows
from tests.load.making import plan_of

ROWS = read_rows(SHIPPED_DATA)


def bodies(texts: Texts, count: int, at: float = 0.5) -> list[str]:
    """What so many tickets say at this moment of the run."""
    draw = texts.start(ROWS, "mark", Random(1))
    return [draw(number, at).ticket["body"] for number in range(count)]


def test_labels_are_known_for_held_out_tickets_only() -> None:
    """A ticket that the simulated fine-tune was taught says nothing about how well it reads."""
    records = [json.loads(line) for line in SHIPPED_DATA.read_text("utf-8").splitlines()]
    held_out = sum(record["split"] == "test" for record in records)
    assert sum(row.label is not None for row in ROWS) == held_out
    assert len(ROWS) == len(records)


def test_files_without_labels_will_do(tmp_path: Path) -> None:
    """Only a body is needed; other keys are left out."""
    file = tmp_path / "mine.jsonl"
    file.write_text('{"body": "help", "priority": 1}\n\n{"no": "body"}\n')
    assert read_rows(file) == [Row({"body": "help"})]


@pytest.mark.parametrize("content", ["", "not json", '{"text": "x"}'])
def test_useless_files_are_refused(tmp_path: Path, content: str) -> None:
    """Before anything is started."""
    (tmp_path / "bad.jsonl").write_text(content)
    with pytest.raises(LoadError, match=r"bad\.jsonl"):
        read_rows(tmp_path / "bad.jsonl")


def test_unique_texts_are_unique() -> None:
    """No cache can know one, although there are only 368 rows."""
    assert len(set(bodies(Unique(), 2_000))) == 2_000


def test_repeated_texts_repeat() -> None:
    """Few of them, the first most often."""
    counts = Counter(bodies(Repeated(distinct=50), 5_000))
    assert len(counts) <= 50
    frequent = counts.most_common(1)[0][1]
    assert 0.18 < frequent / 5_000 < 0.27  # 1 / (1 + 1/2 + … + 1/50) = 0.222


def test_either_mixes_by_its_share() -> None:
    """Three in ten repeat, the others do not."""
    counts = Counter(bodies(Either(Unique(), Repeated(distinct=1), 0.3), 4_000))
    assert 0.27 < counts.most_common(1)[0][1] / 4_000 < 0.33
    assert len(counts) > 2_000


def test_outbreak_is_nearly_one_text() -> None:
    """Inside its window half are word for word the same and the rest differ a little; not outside."""
    inside = bodies(Outbreak(0.4, 0.6), 1_000, at=0.5)
    copy, same = Counter(inside).most_common(1)[0]
    assert 400 < same < 550
    assert sum(copy in body for body in inside) > 900
    assert len(set(bodies(Outbreak(0.4, 0.6), 1_000, at=0.7))) == 1_000


@pytest.mark.parametrize("name", [name for name in SCENARIOS if name != "webhooks"])
def test_every_body_is_a_ticket(name: str) -> None:
    """What is sent is what the service reads, field for field; deliveries are a vendor's own."""
    planned = plan_of(name)
    arrivals = [*warm_up(ROWS, planned.scenario.arms, "m")]
    arrivals += list(schedule(planned, ROWS, 1, "m"))[:300]
    for arrival in arrivals:
        lines = arrival.body.splitlines()
        tickets = [msgspec.json.decode(line, type=Ticket) for line in lines]
        assert len(tickets) == len(arrival.labels) == arrival.arm.batch
        assert all(ticket.id and ticket.body for ticket in tickets)


def test_arms_ask_in_their_way() -> None:
    """Forced paths, batches and the cache switch are in the request."""
    planned = plan_of("mixed", minutes=4.0)
    by_arm = {arrival.arm.name: arrival for arrival in schedule(planned, ROWS, 1, "m")}
    assert by_arm["routed"].route == "/classify"
    assert by_arm["control"].route == "/classify?path=long"
    assert by_arm["uncached"].route == "/classify?cache=off"
    assert by_arm["batch"].route == "/classify/batch"
    assert by_arm["batch"].media_type == "application/x-ndjson"
    assert set(by_arm) == {arm.name for arm in find("mixed").arms}


def test_schedule_is_reproducible() -> None:
    """The same seed sends the same tickets at the same moments; another does not."""
    planned = plan_of("day")
    first = list(schedule(planned, ROWS, 1, "m"))
    assert first == list(schedule(planned, ROWS, 1, "m"))
    assert [one.due_s for one in first] != [one.due_s for one in schedule(planned, ROWS, 2, "m")]


def test_workers_share_the_whole() -> None:
    """Three workers send together what one would, each another part."""
    planned = plan_of("day")
    parts = [list(schedule(planned, ROWS, 1, "m", index=n, workers=3)) for n in range(3)]
    assert sum(map(len, parts)) == planned.count
    assert max(map(len, parts)) - min(map(len, parts)) <= 1
    assert len({part[0].due_s for part in parts}) == 3
    assert max(arrival.due_s for part in parts for arrival in part) <= planned.rates.span_s


def test_arm_shares_come_out() -> None:
    """One ticket in ten is a control, drawn at random."""
    arms = Counter(arrival.arm.name for arrival in schedule(plan_of("day"), ROWS, 1, "m"))
    assert 0.07 < arms["control"] / arms.total() < 0.13


def test_warm_up_visits_every_arm() -> None:
    """No path is cold when the counting begins."""
    arms = [Arm(name="a", share=0.5), Arm(name="b", share=0.5, path="long")]
    assert {arrival.arm.name for arrival in warm_up(ROWS, arms, "m")} == {"a", "b"}
