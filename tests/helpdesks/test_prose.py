"""HTML as text: what a model reads is what a customer wrote, in one pass."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from classifier.helpdesks.prose import text_of


@pytest.mark.parametrize(
    ("html", "text"),
    [
        ("", ""),
        ("plain", "plain"),
        ("<p>One</p><p>Two</p>", "One\nTwo"),
        ("a<br>b<BR/>c", "a\nb\nc"),
        ("<b>bold</b> and <i>more</i>", "bold and more"),
        ("5 &lt; 6 &amp; 7 &gt; 6 &euro;", "5 < 6 & 7 > 6 €"),
        ("a < b and c > d", "a < b and c > d"),
        ("1 <2 and 3> 2", "1 <2 and 3> 2"),
        ("<!doctype html><!-- no <b>note</b> -->yes", "yes"),
        ("<!----><p>yes</p>", "yes"),
        ("<style>p { color: red }</style>yes", "yes"),
        ("<script>if (a<b) alert('</p>')</script>yes", "yes"),
        ("<title>no</title>yes", "yes"),
        ("<div>  much   space&nbsp;&nbsp;here </div>", "much space here"),
        ("<a href='x>y'>link</a>", "y'>link"),  # a quoted bracket ends the tag: text stays text
        ("unclosed <b", "unclosed <b"),
        ("<script>never closed", ""),
    ],
)
def test_markup_goes_and_words_stay(html: str, text: str) -> None:
    """Blocks begin lines, entities are characters, scripts and comments are not read."""
    assert text_of(html) == text


@given(st.text())
def test_any_text_is_read(text: str) -> None:
    """No markup breaks the reading, and nothing grows."""
    assert len(text_of(text)) <= len(text)


@pytest.mark.parametrize("part", ["<", "<!--", "<script>", "<p", "<p>", "&lt;", "</script", "\n "])
def test_time_grows_with_the_length_only(part: str) -> None:
    """Twenty times the markup takes about twenty times as long, however it is broken."""
    short, long = (min(_seconds(part * count) for _ in range(3)) for count in (2_000, 40_000))
    assert long < 20 * 8 * max(short, 1e-4)


def _seconds(html: str) -> float:
    start = time.thread_time()  # other work on the machine does not count
    text_of(html)
    return time.thread_time() - start
