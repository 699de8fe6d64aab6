"""What the documentation says is so: tables, commands, links and the answer that it shows."""

from __future__ import annotations

import argparse
import json
import re
import shlex
import tomllib
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from classifier.api.answers import Answered, LatencyAnswer, UsageAnswer
from classifier.cli import COMMANDS, reference
from classifier.config.budget import Budget
from classifier.config.schema import Route

ROOT = Path(__file__).parents[1]
PAGES = sorted(
    page
    for page in ROOT.rglob("*.md")
    if not any(part.startswith(".") for part in page.relative_to(ROOT).parts)
)
README = ROOT / "README.md"
OPERATIONS = ROOT / "docs" / "operations.md"
GENERATED = re.compile(r"<!-- classifier reference (\w+) -->\n(.*?)<!-- end -->", re.DOTALL)
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.DOTALL | re.MULTILINE)
INLINE = re.compile(r"`((?:classifier|python3 dev) [^`]+)`")
TASKS = re.findall(r"^  (\w+)\b", (ROOT / "dev").read_text("utf-8").split('"""')[1], re.MULTILINE)

each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


def fences(page: Path, language: str) -> list[str]:
    """The blocks of one language."""
    return [text for found, text in FENCE.findall(page.read_text("utf-8")) if found == language]


def typed(page: Path) -> Iterator[list[str]]:
    """Every command of a page's shell blocks as words, without variables, pipes and background."""
    shell = "\n".join(fences(page, "sh")).replace("\\\n", " ")
    for line in shell.splitlines():
        command = re.sub(r"^(\w+=\S+ +)*", "", line).split("|")[0].removesuffix("&")
        yield shlex.split(command, comments=True)


def ours(words: list[str]) -> list[str]:
    """The arguments of `python -m classifier` in a command; none in those of `dev` alone."""
    match words:
        case ["python3", "dev", "run", *arguments] | ["classifier", *arguments]:
            return arguments
        case ["python3", "dev", name, *_] if name in COMMANDS:
            return words[2:]
        case ["python3", "dev", name, *_]:
            assert name in {*TASKS, "--help"}
    return []


def parser() -> argparse.ArgumentParser:
    """The parser of all commands of `python -m classifier`."""
    found = argparse.ArgumentParser()
    subparsers = found.add_subparsers(required=True)
    for name, command in COMMANDS.items():
        command.add_arguments(subparsers.add_parser(name))
    return found


def anchors(page: Path) -> set[str]:
    """The anchors that a page's headings get."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {
        re.sub(r"[^\w -]", "", heading).strip().lower().replace(" ", "-") for heading in headings
    }


@each_page
def test_generated_tables_are_current(page: Path) -> None:
    """A table that is made from the code says what the code says; otherwise: python3 dev docs."""
    for topic, table in GENERATED.findall(page.read_text(encoding="utf-8")):
        assert table.strip() == "\n".join(reference.lines(topic)).strip()


def test_reference_has_every_topic() -> None:
    """Settings, config keys and metrics are all somewhere in docs/reference.md."""
    text = (ROOT / "docs" / "reference.md").read_text(encoding="utf-8")
    assert {topic for topic, _ in GENERATED.findall(text)} == {"settings", "config", "metrics"}


@each_page
def test_links_lead_somewhere(page: Path) -> None:
    """A relative link points to a file that is there, and to a heading that it has."""
    links = [link for link in LINK.findall(page.read_text("utf-8")) if "://" not in link]
    for link in links:
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


@each_page
def test_commands_exist(page: Path) -> None:
    """Whatever a reader copies is a command, with arguments that it takes."""
    for words in typed(page):
        if arguments := ours(words):
            parser().parse_args(arguments)


@each_page
def test_named_commands_exist(page: Path) -> None:
    """Whatever a sentence names is a command."""
    for text in INLINE.findall(page.read_text(encoding="utf-8")):
        assert ours(text.split())[:1] in [[], *([name] for name in COMMANDS)], text


def test_answer_in_readme_is_one() -> None:
    """The answer that a newcomer compares with has exactly the keys that there are."""
    (text,) = fences(README, "json")
    shown = json.loads(text)
    msgspec.convert(shown, Answered)
    keys = [field.name for field in msgspec.structs.fields(Answered)]
    assert [key for key in keys if key in shown or key != "escalated_from"] == list(shown)
    for key, kind in (("usage", UsageAnswer), ("latency_ms", LatencyAnswer)):
        assert list(shown[key]) == [field.name for field in msgspec.structs.fields(kind)]


def test_config_in_docs_is_valid() -> None:
    """An example that is pasted into a config is taken."""
    shown = [tomllib.loads(text) for text in fences(README, "toml") + fences(OPERATIONS, "toml")]
    assert any("routes" in tables for tables in shown)
    for tables in shown:
        assert tables.keys() <= {"routes", "budget"}
        for route in tables.get("routes", []):
            msgspec.convert(route, Route)
        msgspec.convert(tables.get("budget", {}), Budget)
