"""The shipped tickets are enough to try everything with, and agree with the shipped taxonomy."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import msgspec
import pytest

from classifier.config.load import SHIPPED, load
from classifier.records import Ticket


@pytest.fixture(scope="module")
def rows() -> list[dict[str, Any]]:
    """Every line of the shipped file."""
    lines = (SHIPPED / "tickets.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


@pytest.fixture(scope="module")
def labels() -> set[str]:
    """The labels of the shipped taxonomy."""
    return set(load(SHIPPED / "classifier.toml", {}).config.taxonomy.names)


def test_there_are_enough_tickets(rows: list[dict[str, Any]]) -> None:
    """A demo and an evaluation need a few hundred tickets."""
    assert len(rows) >= 300


def test_every_label_is_in_the_taxonomy(rows: list[dict[str, Any]], labels: set[str]) -> None:
    """No ticket expects a label that the service can never answer, and most labels have tickets."""
    used = {row["label"] for row in rows}
    assert used <= labels
    assert len(used) >= 12


def test_every_label_stands_in_both_splits(rows: list[dict[str, Any]]) -> None:
    """What is trained on one half can be tested on the other, label by label."""
    counts = Counter((row["label"], row["split"]) for row in rows)
    for label in {row["label"] for row in rows}:
        assert counts[label, "train"] >= 5
        assert counts[label, "test"] >= 5
    assert {split for _, split in counts} == {"train", "test"}


def test_no_ticket_stands_there_twice(rows: list[dict[str, Any]]) -> None:
    """Twins would be answered from the cache, and would leak from training into the test."""
    assert len({row["id"] for row in rows}) == len(rows)
    assert len({" ".join(row["body"].split()).casefold() for row in rows}) == len(rows)


def test_tickets_are_as_mixed_as_real_ones(rows: list[dict[str, Any]]) -> None:
    """Several languages and channels; some tickets without a subject."""
    languages = Counter(row["language"] for row in rows)
    assert len(languages) >= 6
    assert languages.most_common(1)[0][1] < len(rows) * 0.8
    assert len({row["channel"] for row in rows}) >= 2
    assert 10 <= sum(row["subject"] == "" for row in rows) <= len(rows) / 2


def test_every_row_is_a_ticket(rows: list[dict[str, Any]]) -> None:
    """Without its label and split a row is exactly what `POST /classify` takes."""
    for row in rows:
        ticket = {name: value for name, value in row.items() if name not in {"label", "split"}}
        assert msgspec.convert(ticket, Ticket).body.strip()
