"""A reply is a label of the taxonomy, or it is nothing: never a guess."""

from __future__ import annotations

import json
import unicodedata

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from classifier.taxonomy import Label, LabelReader, Taxonomy

NAMES = ("billing", "refund", "sign-in", "bill", "Überfällig", "other")
TAXONOMY = Taxonomy(name="t", labels=tuple(Label(name=name) for name in NAMES))
READER = LabelReader(TAXONOMY)


def reader(*names: str) -> LabelReader:
    """A reader over labels of the test's own; the first one abstains."""
    labels = tuple(Label(name=name) for name in names)
    return LabelReader(Taxonomy(name="t", labels=labels, abstain=names[0]))


@pytest.mark.parametrize(
    "reply",
    [
        "billing",
        "Billing",
        "BILLING",
        " billing\n",
        "billing.",
        "**billing**",
        "'billing'",
        "“billing”",
        "«billing»",
        "`billing`",
        "```billing```",
        "```\nbilling\n```",
        "- billing",
        "_billing_",
        "[billing]",
        '"billing"',
        '"billing".',
        '["billing"]',
        '{"label": "billing"}',
        ' {"label":"Billing"} ',
        '{"label": ["billing"]}',
        '{"result": {"label": "billing"}}',
        '```json\n{"label": "billing"}\n```',
        '```json\n"billing"\n```',
        '```\n{"label": "billing"}\n```',
        "Label: billing",
        "label = billing",
        "LABEL: Billing.",
        "**Label:** billing",
        "Category: `billing`",
        "answer: 'billing'",
    ],
)
def test_decorated_label_is_read(reply: str) -> None:
    """Case, quotes, punctuation, JSON, fences and `label:` are how models dress a label."""
    assert READER.read(reply) == "billing"


@pytest.mark.parametrize(
    ("reply", "label"),
    [
        ("sign-in", "sign-in"),
        ("Sign in", "sign-in"),
        ("SIGN_IN", "sign-in"),
        ("bill", "bill"),
        ("überfällig", "Überfällig"),
        (unicodedata.normalize("NFD", "ÜBERFÄLLIG"), "Überfällig"),
        ("other", "other"),
    ],
)
def test_label_comes_back_as_the_taxonomy_writes_it(reply: str, label: str) -> None:
    """What leaves the reader is the taxonomy's own spelling."""
    assert READER.read(reply) == label


@pytest.mark.parametrize(
    "reply",
    [
        None,
        "",
        " \n",
        "...",
        "{}",
        "[]",
        '""',
        "null",
        "```json```",
        "The label is billing",
        "billing because the customer was charged twice",
        "I think it could be billing.",
        "not billing",
        "billin",
        "billings",
        "bil",
        "sign",
        "in",
        "signin",
        "billing refund",
        "billing, refund",
        "billing/refund",
        "billing\nrefund",
        "billing billing",
        "billing or refund?",
        '["billing", "refund"]',
        '{"label": "billing", "second": "refund"}',
        '{"label": "billing, refund"}',
        '{"billing": 0.9}',
        '{"label": "bill',
        '{"label": null}',
        '{"label": true}',
        "Label:",
        "label: category: billing",
        "unknown",
    ],
)
def test_what_is_not_exactly_a_label_is_none(reply: str | None) -> None:
    """Sentences, parts, two labels, cut JSON and emptiness are never taken for a label."""
    assert READER.read(reply) is None


@pytest.mark.parametrize(
    "reply",
    ["billing" + " " * 1_000, "x" * 1_000_000, "[" * 1_000, '{"a":' * 150 + "1" + "}" * 150],
)
def test_huge_reply_is_none(reply: str) -> None:
    """A reply of more than a thousand characters is not looked into; nesting does no harm."""
    assert READER.read(reply) is None


def test_label_may_begin_like_a_prefix() -> None:
    """A label called `Category: hardware` is read whole, also beside one called `hardware`."""
    found = reader("other", "hardware", "Category: hardware", "Answer: yes")
    assert found.read("category: hardware") == "Category: hardware"
    assert found.read("hardware") == "hardware"
    assert found.read("answer: yes.") == "Answer: yes"
    assert found.read("label: hardware") == "hardware"


@given(st.text())
def test_any_text_is_a_label_or_nothing(text: str) -> None:
    """No text raises, and none leads out of the taxonomy."""
    found = READER.read(text)
    assert found is None or found in NAMES


@given(st.lists(st.sampled_from([*NAMES, *" \n\"'`{}[]:,.", "label", "```json"]), max_size=8))
def test_pieces_of_replies_are_a_label_or_nothing(pieces: list[str]) -> None:
    """Nothing put together from labels and decoration leads out of the taxonomy or raises."""
    found = READER.read("".join(pieces))
    assert found is None or found in NAMES


@given(st.lists(st.sampled_from(NAMES), min_size=2, max_size=3), st.sampled_from(" ,;/|\n"))
def test_several_labels_are_none(names: list[str], separator: str) -> None:
    """Two labels are no answer, whichever they are and whatever stands between them."""
    assert READER.read(separator.join(names)) is None


WORDS = st.text(st.characters(categories=["Ll", "Lu", "Lo", "Nd"]), min_size=1, max_size=12)
DRESSED = [
    "{0}", " {0}\n", "{0}.", "{0}!", "*{0}*", "**{0}**", "'{0}'", '"{0}"', "`{0}`", "({0})",
    "label: {0}", "Label: **{0}**", "```\n{0}\n```",
]  # fmt: skip


@given(
    st.lists(WORDS, min_size=1, max_size=4),
    st.sampled_from(["-", "_", " ", " & ", ": "]),
    st.sampled_from(DRESSED),
    st.sampled_from([str, str.upper, str.lower, str.title]),
)
def test_every_label_with_any_decoration_reads_back(
    words: list[str], joint: str, dress: str, case: type[str]
) -> None:
    """Whatever letters a label is made of, a model that answers it is understood."""
    name = joint.join(words)
    assume(case(name).casefold() == name.casefold())  # a Turkish dotless i has no way back
    found = reader("none of these five words", name)
    assert found.read(dress.format(case(name))) == name
    for reply in (name, [name], {"label": name}):
        assert found.read(json.dumps(reply)) == name
        assert found.read(f"```json\n{json.dumps(reply, ensure_ascii=False)}\n```") == name


def test_a_label_that_is_cut_off_is_not_a_shorter_one() -> None:
    """`bill` may be all that fitted of `billing`; `billing` and `refund` are the beginning of nothing."""
    assert READER.may_go_on("bill")
    assert not READER.may_go_on("billing")
    assert not READER.may_go_on("refund")
