"""Two tickets share an answer only if text and everything that makes an answer are the same."""

from __future__ import annotations

import re
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from classifier.assembly import Assembly
from classifier.cache.key import cache_key, normalised, text_digest
from classifier.config.load import load
from classifier.config.schema import Endpoint as EndpointConfig
from classifier.errors import AttemptFailed
from classifier.ports import RawReply
from classifier.records import Ticket
from tests.support.house import write_config

SECRET = b"0123456789abcdef"
MAIN = """path = "short"
escalate = { to = "long", below = 0.6 }
fallback = ["long"]
"""
ROUTES = f"""
[[routes]]
name = "main"
{MAIN}
[[routes]]
name = "never-reached"
path = "long"
"""


def digest(text: str) -> str:
    """The digest under this file's secret."""
    return text_digest(text, SECRET)


@pytest.mark.parametrize(
    "text",
    [
        "I was  charged\ttwice.",
        " I was charged twice.\n",
        "I was\r\n\r\ncharged twice.",
        "I was\N{NO-BREAK SPACE}charged\N{IDEOGRAPHIC SPACE}twice.",
        "\uff29 was charged twice\uff0e",
        "I was charged twice\N{ONE DOT LEADER}",
    ],
)
def test_ways_to_write_the_same_share_a_key(text: str) -> None:
    """White space and Unicode's compatible forms are no difference between tickets."""
    assert digest(text) == digest("I was charged twice.")


def test_accents_share_a_key_however_composed() -> None:
    """A Mac and a phone send the same accent in different bytes."""
    assert digest(unicodedata.normalize("NFD", "Réclamation Ü")) == digest("Réclamation Ü")


@pytest.mark.parametrize(
    ("one", "two"),
    [
        ("Invoice 4471", "Invoice 4472"),
        ("I was charged 1.50", "I was charged 150"),
        ("Please cancel", "Please do not cancel"),
        ("It works", "It works?"),
        ("us", "US"),
        ("I was charged", "I wascharged"),
        ("resume", "résumé"),
        ("", "x"),
    ],
)
def test_what_can_matter_keeps_keys_apart(one: str, two: str) -> None:
    """Digits, negations, punctuation, case and accents may change where a ticket belongs."""
    assert digest(one) != digest(two)


@given(st.text(st.characters(max_codepoint=127)))
def test_ascii_shortcut_changes_nothing(text: str) -> None:
    """Leaving out Unicode's normalisation for ASCII gives what it would have given."""
    assert normalised(text) == " ".join(unicodedata.normalize("NFKC", text).split())


@given(st.text())
def test_normalised_text_stays_as_it_is(text: str) -> None:
    """Normalising twice is normalising once, for any text."""
    assert normalised(normalised(text)) == normalised(text)


@given(st.text(st.characters()))
def test_any_text_has_a_digest(text: str) -> None:
    """32 hex digits even for text that is no valid Unicode."""
    assert re.fullmatch(r"[0-9a-f]{32}", digest(text))


@pytest.mark.parametrize("length", [16, 63, 64, 65, 128, 10_000])
def test_another_secret_is_another_key(length: int) -> None:
    """Secrets of any length work, and all of their bytes count."""
    one, two = b"a" * length, b"a" * (length - 1) + b"b"
    assert text_digest("Help", one) != text_digest("Help", two)
    assert text_digest("Help", one) == text_digest("Help", b"a" * length)


@given(st.text(min_size=3, max_size=50), st.from_regex(r"[0-9a-f]{16}", fullmatch=True))
def test_key_shows_nothing_but_digests(text: str, fingerprint: str) -> None:
    """A key has one shape: what answers and what is asked, both as digests."""
    key = cache_key(digest(text), fingerprint)
    assert re.fullmatch(rf"classifier:1:{fingerprint}:[0-9a-f]{{32}}", key)


def test_key_does_not_hold_the_text() -> None:
    """Not a word of a ticket stands in its key."""
    key = cache_key(digest("hunter2 is my password"), "0" * 16)
    assert [word for word in ("hunter2", "password", b"hunter2".hex()) if word in key] == []


class Unasked:
    """An endpoint that no test here calls."""

    async def post(self, route: str, body: bytes, timeout_s: float) -> RawReply:
        raise AttemptFailed("connect")

    async def warm(self) -> bool:
        return False

    async def aclose(self) -> None:
        pass


def unasked(name: str, config: EndpointConfig) -> Unasked:
    """Opens nothing."""
    return Unasked()


def assembly(folder: Path, old: str = "", new: str = "", file: str = "classifier.toml") -> Assembly:
    """The test config with one change in one of its files."""
    config = write_config(folder, "http://short/v1", "http://long/v1", ROUTES)
    text = (folder / file).read_text()
    assert old in text
    (folder / file).write_text(text.replace(old, new, 1))
    return Assembly(load(config, {}), unasked)


def fingerprint(found: Assembly, forced: str | None = None) -> str:
    """The name of all that can change the answer to a plain ticket."""
    return found.plan_fingerprint(found.plan(Ticket(body="x"), "1", forced))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('name = "test"', 'name = "test2"'),
        ('abstain = "other"', 'abstain = "login"'),
        ('rules = ["Choose one."]', 'rules = ["Choose well."]'),
        ('name = "billing"', 'name = "invoices"'),
        ('description = "invoices"', 'description = "invoices, VAT"'),
        ('examples = ["charged twice"]', 'examples = ["paid twice"]'),
        ('model = "ft:base:org::1"', 'model = "ft:base:org::2"'),
        ('model = "base"', 'model = "better"'),
        ('kind = "chat"', 'kind = "decisions"'),
        ("http://short/v1", "http://short/v2"),
        ("http://long/v1", "http://long/v2"),
        ('prompt = "short.txt"', 'prompt = "long.txt"'),
        ("[paths.long]", "[paths.short.options]\ntemperature = 0.0\n[paths.long]"),
        ("[paths.long]", "[paths.short.options]\nlogprobs = false\n[paths.long]"),
        ("[paths.long]", "[paths.short.options.extra_body]\ntop_p = 0.5\n[paths.long]"),
        ("[paths.long]", "max_ticket_chars = 500\n[paths.long]"),
        ("below = 0.6", "below = 0.7"),
        ('escalate = { to = "long", below = 0.6 }\n', ""),
        ('fallback = ["long"]\n', ""),
        (MAIN, 'path = "long"\n'),
    ],
)
def test_what_can_change_an_answer_changes_the_key(tmp_path: Path, old: str, new: str) -> None:
    """No answer is served that today's config might not give."""
    assert fingerprint(assembly(tmp_path, old, new)) != fingerprint(assembly(tmp_path))


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("short.txt", "Answer one of", "Choose one of"),
        ("short.txt", "$ticket", "Ticket: $ticket"),
        ("long.txt", "$rules\n", ""),
    ],
)
def test_prompt_that_reads_differently_changes_the_key(
    tmp_path: Path, file: str, old: str, new: str
) -> None:
    """Prompts count by their content, of every path that a plan may come to."""
    changed = assembly(tmp_path, old, new, file)
    assert fingerprint(changed) != fingerprint(assembly(tmp_path))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("input = 0.15", "input = 0.16"),
        ('as_of = "2026-11-22"', 'as_of = "2026-11-23"'),
        ("timeout_s = 1.0", "timeout_s = 2.0"),
        ("timeout_s = 1.0", "retries = 3"),
        ("timeout_s = 1.0", 'price = "base"'),
        ("static_tokens = 60", "static_tokens = 61"),
        ("short = 0.1", "short = 0.2"),
        ('auth = "none"', 'auth = "none"\ntimeout_s = 5.0'),
        ("[endpoints.fast]", "[endpoints.fast]\nkeepalive_s = 100.0"),
        ("[endpoints.fast]", "[endpoints.fast]\napi_key_env = 'KEY'"),
        ("[prices]", "[cache]\nttl_s = 60.0\n[prices]"),
        ('fallback = ["long"]', 'fallback = ["long"]\nshadow = { path = "long", share = 0.5 }'),
        ('path = "long"\n', 'path = "long"\nfallback = ["short"]\n'),
        ("[taxonomy]", "# owned by the support lead\n[taxonomy]"),
    ],
)
def test_what_changes_no_answer_keeps_the_key(tmp_path: Path, old: str, new: str) -> None:
    """A new price, limit, claim or comment does not throw the cache away."""
    assert fingerprint(assembly(tmp_path, old, new)) == fingerprint(assembly(tmp_path))


def test_same_answer_does_not_depend_on_where_the_config_lies(tmp_path: Path) -> None:
    """All replicas share their answers, whatever folder they were installed in."""
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    assert fingerprint(assembly(tmp_path / "a")) == fingerprint(assembly(tmp_path / "b"))


def test_forced_path_has_its_own_key(tmp_path: Path) -> None:
    """What one path said alone is no answer of a plan that would have asked on."""
    found = assembly(tmp_path)
    assert len({fingerprint(found), fingerprint(found, "short"), fingerprint(found, "long")}) == 3
    long_changed = assembly(tmp_path, 'model = "base"', 'model = "better"')
    assert fingerprint(long_changed, "short") == fingerprint(found, "short")


def test_routes_to_one_path_have_their_own_keys(tmp_path: Path) -> None:
    """Two routes that begin alike and go on differently do not share answers."""
    german = (
        '[[routes]]\nname = "german"\nwhen = { languages = ["de"] }\npath = "short"\n[[routes]]'
    )
    found = assembly(tmp_path, "[[routes]]", german)
    plan = found.plan(Ticket(body="x", language="de"), "1", None)
    assert (plan.route, plan.path) == ("german", "short")
    assert found.plan_fingerprint(plan) != fingerprint(found)
    assert found.plan_fingerprint(plan) == fingerprint(found, "short")
