"""A prompt is one static part, the same for every ticket, and then the ticket as it is."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from classifier.config.load import SHIPPED, load
from classifier.errors import ConfigError
from classifier.prompts import DIVIDER, Prompt, render
from classifier.taxonomy import Label, Taxonomy
from classifier.text import head_and_tail
from classifier.tokens import CACHE_THRESHOLD_TOKENS, count_static, static_text

GOLDEN = Path(__file__).parents[1] / "golden" / "prompts"
TAXONOMY = Taxonomy(
    name="test",
    labels=(
        Label(
            name="billing", description="costs $5 or ${more}", examples=("charged twice", "VAT?")
        ),
        Label(name="login", examples=("reset mail",)),
        Label(name="other", description="anything else"),
    ),
    abstain="other",
    rules=("Choose one.", "Money first."),
)
NOTE = re.compile(r"\n\[… (\d+) characters left out …\]\n")


def rendered(text: str) -> Prompt:
    """The template rendered for this file's taxonomy."""
    return render("test.txt", text, TAXONOMY)


def refusal(text: str) -> str:
    """What the person who wrote the template is told."""
    with pytest.raises(ConfigError) as refused:
        rendered(text)
    return refused.value.detail


def test_static_part_comes_first_and_ticket_last() -> None:
    """Everything above the divider is fixed; a ticket changes only what is below."""
    prompt = rendered(f"Pick one of $label_names.\n\n{DIVIDER}\nTicket:\n$ticket\nLabel:\n")
    assert prompt.static == "Pick one of billing, login, other."
    assert prompt.ticket_message("Help!", 100) == "Ticket:\nHelp!\nLabel:"
    assert prompt.ticket_message("Other", 100) == "Ticket:\nOther\nLabel:"


def test_every_placeholder_is_filled() -> None:
    """All of the taxonomy that a prompt can show, in the taxonomy's order."""
    template = (
        "$taxonomy_name|$abstain|$label_count|${label_names}\n"
        "$label_descriptions\n$label_examples\n$rules"
    )
    assert rendered(f"{template}\n{DIVIDER}\n$ticket").static == (
        "test|other|3|billing, login, other\n"
        "- billing: costs $5 or ${more}\n- login\n- other: anything else\n"
        "charged twice -> billing\nVAT? -> billing\nreset mail -> login\n"
        "- Choose one.\n- Money first."
    )


def test_placeholders_around_the_ticket_are_filled() -> None:
    """The ticket part may repeat what the static part says."""
    prompt = rendered(f"Sort.\n{DIVIDER}\n$ticket\nOne of $label_names, or $abstain:")
    assert prompt.ticket_message("Hi", 100) == "Hi\nOne of billing, login, other, or other:"


@pytest.mark.parametrize(
    ("used", "nearest"),
    [("label_name", "label_names"), ("example", "label_examples"), ("rule", "rules")],
)
@pytest.mark.parametrize("part", ["${used}\n{divider}\n$ticket", "x\n{divider}\n$ticket ${used}"])
def test_unknown_placeholder_names_the_nearest(part: str, used: str, nearest: str) -> None:
    """A misspelt placeholder is refused in both parts, with the file and what was meant."""
    text = part.replace("{used}", used).replace("{divider}", DIVIDER)
    assert refusal(text) == f"test.txt: unknown placeholder ${used}; did you mean ${nearest}?"


def test_unknown_placeholder_without_a_neighbour_lists_all() -> None:
    """When nothing is near, the message says what there is."""
    assert refusal(f"$zzzz\n{DIVIDER}\n$ticket") == (
        "test.txt: unknown placeholder $zzzz; there are: abstain, label_count, "
        "label_descriptions, label_examples, label_names, rules, taxonomy_name"
    )


@pytest.mark.parametrize(
    "text", ["", "Sort.\n$ticket", f"a\n{DIVIDER}\n$ticket\n{DIVIDER}\n", f"{DIVIDER}\n{DIVIDER}\n"]
)
def test_divider_must_stand_there_once(text: str) -> None:
    """Without a divider nobody could say what is fixed and what is the ticket."""
    assert refusal(text) == (
        "test.txt: a prompt has exactly one line '=== ticket ===' before its ticket part"
    )


@pytest.mark.parametrize(
    "ticket_part", ["", "Ticket:", "$ticket $ticket", "$ticket ${ticket}", "$$ticket", "$tickets"]
)
def test_ticket_must_stand_there_once(ticket_part: str) -> None:
    """A prompt without the ticket would make every ticket the same; `$tickets` is another word."""
    assert refusal(f"Sort.\n{DIVIDER}\n{ticket_part}") == (
        "test.txt: the ticket part must hold $ticket exactly once"
    )


def test_ticket_does_not_belong_into_the_static_part() -> None:
    """The static part is the same for all tickets, so it cannot hold one."""
    assert "unknown placeholder $ticket" in refusal(f"$ticket\n{DIVIDER}\n$ticket")


@pytest.mark.parametrize("text", [f"5 $ off\n{DIVIDER}\n$ticket", f"Sort.\n{DIVIDER}\n$ticket $"])
def test_lone_dollar_is_refused(text: str) -> None:
    """A dollar sign that is no placeholder is written twice; the message says so."""
    assert refusal(text) == "test.txt: a lone $ in the text; write $$ for a dollar sign"


def test_doubled_dollar_is_a_dollar() -> None:
    """`$$` becomes `$`, also in front of a word that would be a placeholder."""
    prompt = rendered(f"Under $$5, $$label_names.\n{DIVIDER}\n$$ticket: ${{ticket}} $$")
    assert prompt.static == "Under $5, $label_names."
    assert prompt.ticket_message("Hi", 100) == "$ticket: Hi $"


@given(
    st.lists(
        st.sampled_from([DIVIDER, "$ticket", "$label_names", "${rules}", "$$", "$", "\n", "x"])
    )
)
def test_ticket_text_is_never_a_template(pieces: list[str]) -> None:
    """Whatever a customer writes reaches the model as text, and changes nothing else."""
    text = "".join(pieces)
    prompt = rendered(f"Sort: $label_names\n{DIVIDER}\n<$ticket>")
    assert prompt.ticket_message(text, 10_000) == f"<{text}>"
    assert prompt.static == "Sort: billing, login, other"


def test_version_names_the_content() -> None:
    """Every byte of every part makes another version; blanks at the edges do not."""
    texts = [
        f"Sort.\n{DIVIDER}\n$ticket",
        f"Sort!\n{DIVIDER}\n$ticket",
        f"Sort.\n{DIVIDER}\n$ticket!",
        f"Sort.\n{DIVIDER}\n!$ticket",
        f"$rules\n{DIVIDER}\n$ticket",
    ]
    versions = [rendered(text).version for text in texts]
    assert len(set(versions)) == 5
    assert rendered(f"\n{texts[0]}\n\n").version == versions[0]
    assert re.fullmatch(r"test\.txt@[0-9a-f]{16}", versions[0])


def test_short_ticket_stays_whole() -> None:
    """Nothing is cut from a ticket that is exactly as long as it may be."""
    assert head_and_tail("x" * 100, 100) == "x" * 100


def test_long_ticket_keeps_head_and_tail() -> None:
    """Three quarters from the front, one from the end, and a note of what is missing."""
    text = "a" * 75 + "-" * 1_000 + "z" * 25
    assert head_and_tail(text, 100) == ("a" * 75 + "\n[… 1000 characters left out …]\n" + "z" * 25)


@given(st.text(max_size=300), st.integers(1, 200))
def test_cut_ticket_is_never_longer_than_allowed(text: str, max_chars: int) -> None:
    """What is kept has exactly the allowed length, and stands at either end of the ticket."""
    cut = head_and_tail(text, max_chars)
    if len(text) <= max_chars:
        assert cut == text
        return
    notes = [note for note in NOTE.finditer(cut) if int(note[1]) == len(text) - max_chars]
    parts = [(cut[: note.start()], cut[note.end() :]) for note in notes]
    assert any(
        len(head) + len(tail) == max_chars and text.startswith(head) and text.endswith(tail)
        for head, tail in parts
    )


def shipped(path: str) -> tuple[str, Prompt, Taxonomy]:
    """A shipped path's backend kind, its prompt and the taxonomy in it."""
    loaded = load(SHIPPED / "classifier.toml", {})
    config, taxonomy = loaded.config.paths[path], loaded.config.taxonomy
    return (
        config.kind,
        render(config.prompt, loaded.prompt_texts[config.prompt], taxonomy),
        taxonomy,
    )


@pytest.mark.parametrize(("path", "least", "most"), [("short", 40, 62), ("long", 700, 1_023)])
def test_shipped_prompts_have_the_claimed_size(path: str, least: int, most: int) -> None:
    """About 50 (and 11 of the chat format) against about 800, both too small to be cached."""
    tokens = count_static(*shipped(path))
    assert tokens is not None
    assert least <= tokens <= most < CACHE_THRESHOLD_TOKENS


@pytest.mark.parametrize("path", ["short", "long", "decide"])
def test_shipped_prompts_read_as_reviewed(path: str) -> None:
    """What a model gets to read does not change by accident."""
    kind, prompt, taxonomy = shipped(path)
    ticket = prompt.ticket_message("(the ticket)", 100)
    text = f"{static_text(kind, prompt, taxonomy)}\n{DIVIDER}\n{ticket}\n"
    again = f"python3 dev run prompt {path} > tests/golden/prompts/{path}.txt"
    assert text == (GOLDEN / f"{path}.txt").read_text(encoding="utf-8"), (
        f"the prompt of path {path!r} reads differently now; if that is meant: {again}"
    )
