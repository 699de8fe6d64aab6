"""A taxonomy holds labels that can be told apart, and its version names its content."""

from __future__ import annotations

import re
import unicodedata
from typing import Any

import msgspec
import pytest

from classifier.taxonomy import Label, Taxonomy


def labels(*names: str) -> tuple[Label, ...]:
    """Labels that are nothing but names."""
    return tuple(Label(name=name) for name in names)


BASE = Taxonomy(
    name="support",
    labels=(
        Label(name="billing", description="invoices", examples=("charged twice",)),
        Label(name="login", description="cannot sign in"),
        Label(name="other"),
    ),
    abstain="other",
    rules=("Choose one.", "Money first."),
)


@pytest.mark.parametrize(
    ("one", "two"),
    [
        ("billing", "billing"),
        ("billing", "Billing"),
        ("sign-in", "sign in"),
        ("sign_in", "sign-in"),
        ("bug", "bug!"),
        ("strasse", "STRAßE"),
        ("réclamation", unicodedata.normalize("NFD", "réclamation")),
        ("bug", unicodedata.normalize("NFKC", "bug").replace("b", "\uff42")),
    ],
)
def test_labels_that_read_alike_are_refused(one: str, two: str) -> None:
    """Two labels that differ only in what a reply may vary could not be told apart."""
    with pytest.raises(ValueError, match=re.escape(f"{one!r} and {two!r} cannot be told apart")):
        Taxonomy(name="t", labels=labels(one, two, "other"))


def test_labels_that_differ_in_words_are_kept() -> None:
    """Digits, letters and the order of words do tell labels apart."""
    names = ("tier 1", "tier 2", "login", "log in", "billing refund", "refund billing")
    assert Taxonomy(name="t", labels=labels(*names), abstain="login").names == names


def test_label_without_letters_is_refused() -> None:
    """A label of punctuation alone could never be read back."""
    with pytest.raises(ValueError, match=r"'\?!' has no letter or digit"):
        Taxonomy(name="t", labels=labels("?!", "other"))


def test_abstain_must_be_a_label() -> None:
    """The answer "none of these" is one of the answers."""
    with pytest.raises(ValueError, match="abstain = 'none' is not one of the labels"):
        Taxonomy(name="t", labels=labels("billing", "other"), abstain="none")
    with pytest.raises(ValueError, match="abstain = 'other' is not one of the labels"):
        Taxonomy(name="t", labels=labels("billing", "login"))


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": "t", "labels": [{"name": "other"}]},
        {"name": "t", "labels": [{"name": f"label {n}"} for n in range(256)]},
        {"name": "t", "labels": [{"name": ""}, {"name": "other"}]},
        {"name": "t", "labels": [{"name": "x" * 65}, {"name": "other"}]},
        {"name": "no spaces", "labels": [{"name": "a"}, {"name": "other"}]},
        {"name": "", "labels": [{"name": "a"}, {"name": "other"}]},
        {"name": "t", "labels": [{"name": "a", "text": "b"}, {"name": "other"}]},
    ],
)
def test_taxonomy_beyond_its_limits_is_refused(wrong: dict[str, Any]) -> None:
    """2 to 255 labels with names of 1 to 64 characters, and nothing that has no meaning."""
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(wrong, Taxonomy)


@pytest.mark.parametrize(
    "change",
    [
        {"name": "support2"},
        {"abstain": "login"},
        {"rules": ("Choose one.",)},
        {"rules": ("Money first.", "Choose one.")},
        {"labels": BASE.labels[::-1]},
        {"labels": (*BASE.labels, Label(name="bug"))},
        {"labels": (Label(name="Billing", description="invoices", examples=("charged twice",)), *BASE.labels[1:])},
        {"labels": (Label(name="billing", description="invoices!", examples=("charged twice",)), *BASE.labels[1:])},
        {"labels": (Label(name="billing", description="invoices", examples=("charged once",)), *BASE.labels[1:])},
        {"labels": (Label(name="billing", description="invoices", examples=()), *BASE.labels[1:])},
    ],
)  # fmt: skip
def test_every_change_is_another_version(change: dict[str, Any]) -> None:
    """Whatever a prompt could show changes the version, and with it every cache key."""
    assert msgspec.structs.replace(BASE, **change).version != BASE.version


def test_version_names_the_taxonomy() -> None:
    """Name first, then 16 hex digits that the same content always has."""
    same = msgspec.json.decode(msgspec.json.encode(BASE), type=Taxonomy)
    assert same.version == BASE.version
    assert re.fullmatch(r"support@[0-9a-f]{16}", BASE.version)
