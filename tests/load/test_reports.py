"""A report is complete, self-contained and says what it does not know."""

from __future__ import annotations

import csv
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from loadtests import markdown, page, report
from loadtests.scenarios import SCENARIOS
from loadtests.summary import parts, summarise, way
from tests.load.making import many, refused, run_of, sample

VOID = {"meta"}


class Checker(HTMLParser):
    """Notes what does not close, and everything that would be fetched."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.fetched: list[str] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in VOID:
            self.open.append(tag)
        self.fetched += [name for name, _ in attrs if name in ("src", "href", "xlink:href")]
        if tag in ("script", "link", "iframe", "img"):
            self.fetched.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        pass

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def checked(html: str) -> str:
    """The page's text, once its form is in order."""
    checker = Checker()
    checker.feed(html)
    assert checker.open == []
    assert checker.fetched == []
    assert not re.search(r"\bnan\b|\binf\b", html)
    return " ".join(" ".join(checker.text).split())


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_page_stands_alone(scenario: str) -> None:
    """For every scenario: well-formed, nothing to fetch, no script, no number that is none."""
    text = checked(page.render(summarise(run_of(many(), scenario))))
    assert f"Load test: {scenario}" in text
    assert "2026-11-22" in text


def test_page_says_the_verdict_and_why() -> None:
    """On top, with the limit that is broken."""
    slow = [one._replace(latency_ms=one.latency_ms + 2_000) for one in many()]
    text = checked(page.render(summarise(run_of(slow))))
    assert "A limit is broken" in text
    assert "short path, asked alone, p50" in text


def test_simulated_models_are_called_so() -> None:
    """In the page, in the Markdown and on the terminal; and not when they are real."""
    summary = summarise(run_of(many()))
    real = summarise(run_of([one._replace(simulated=False) for one in many()]))
    assert "Simulated models" in checked(page.render(summary))
    assert "Simulated models" in markdown.render(summary)
    assert "simulated" in report.spoken(summary, Path("/r"), colour=False)
    assert "Simulated models" not in page.render(real)
    assert "Simulated models" not in markdown.render(real)


def test_hostile_words_are_escaped() -> None:
    """What a server answers is text, not markup."""
    samples = [*many(), *[refused(problem="<script>alert(1)</script>|x") for _ in range(30)]]
    summary = summarise(run_of(samples))
    assert "<script" not in page.render(summary)
    assert "</script>|x" not in markdown.render(summary)


def test_files_are_written(tmp_path: Path) -> None:
    """Two pages to read, a result for machines, and every ticket."""
    run = run_of(many())
    report.write(run, tmp_path)
    assert {file.name for file in tmp_path.iterdir()} == {
        "report.html", "report.md", "result.json", "samples.csv",
    }  # fmt: skip
    result = json.loads((tmp_path / "result.json").read_text("utf-8"))
    assert (result["verdict"], result["exit_code"]) == ("holds", 0)
    assert {claim["claimed"] for claim in result["claims"]} == {"100 ms", "400 ms", "4x", "90%"}
    with (tmp_path / "samples.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(run.samples)
    assert float(rows[0]["latency_ms"]) == run.samples[0].latency_ms


def test_empty_run_has_a_report(tmp_path: Path) -> None:
    """Also when no ticket was sent: then it says that."""
    summary = report.write(run_of([]), tmp_path)
    assert "No verdict" in checked(page.render(summary))
    assert "no ticket was sent" in markdown.render(summary)


def test_terminal_shows_the_table() -> None:
    """Verdict, claims, table and where the report is; coloured only for a terminal."""
    summary = summarise(run_of(many()))
    plain = report.spoken(summary, Path("/there"), colour=False)
    assert "load: day: holds" in plain
    assert "/there/report.html" in plain
    assert re.search(r"short +model +2\d\d", plain)
    assert "\033" not in plain
    assert "\033[1;32m" in report.spoken(summary, Path("/there"), colour=True)


def test_conditions_are_all_there() -> None:
    """Compression, generator, processor time and what was planted when."""
    run = run_of(many(), faults=[(12.0, "Redis is killed")])
    text = markdown.render(summarise(run))
    for words in ("1 s stands for 720 s", "lateness of the generator", "service 1.5 s",
                  "at 12.0 s: Redis is killed", "a test"):  # fmt: skip
        assert words in text


def test_planted_trouble_tells_nothing_about_claims() -> None:
    """A model that was made slow on purpose does not disprove anything."""
    summary = summarise(run_of(many(), faults=[(0.0, "every model: 100% slow")]))
    assert {claim.verdict for claim in summary.claims} == {"cannot tell"}


def test_rows_separate_paths_and_ways() -> None:
    """By path and by how the answer came; failures by their problem."""
    assert way(sample()) == ("short", "model")
    assert way(sample(source="cache", escalated=True)) == ("short", "cache")
    assert way(sample(path="long", escalated=True)) == ("long", "escalated")
    assert way(refused()) == ("—", "503 no-path-answered")
    assert way(refused(status=0, problem="Refused")) == ("—", "no answer Refused")


def test_day_costs_what_its_tickets_cost() -> None:
    """50,000 times the mean, as routed and for the control; the saving is between the two."""
    summary = summarise(run_of(many()))
    routed, short, control = summary.prices
    assert control.per_day[0] == pytest.approx(50_000 * 140_000e-9)
    assert short.per_day[0] == pytest.approx(50_000 * 20_000e-9)
    assert routed.saving == pytest.approx(1 - routed.per_ticket[0] / control.per_ticket[0])
    assert routed.per_ticket[0] < short.per_ticket[0]  # some were cached
    assert dict(summary.projection)["shadow calls"].startswith("$0.12 ")  # $0.001 for 400 tickets


def test_stages_add_up_to_the_latency() -> None:
    """Client and service measure one and the same time."""
    one = sample(120.0)
    assert sum(ms for _, ms in parts(one)) == pytest.approx(one.latency_ms)


def test_stage_tables_compare_client_and_server() -> None:
    """The same tickets by both clocks, and the difference between them."""
    stages = {stage.name: stage for stage in summarise(run_of(many())).stages["short"]}
    assert stages["from sending"].values[0] > stages["total"].values[0] > stages["model"].values[0]
    assert stages["outside the service"].values[0] == pytest.approx(1.5)


def test_clock_is_that_of_the_real_day() -> None:
    """Half a compressed day is noon; a direct run counts its own minutes."""
    run = run_of(many())
    assert [run.clock(60.0), run.clock(0.0)] == ["12:00", "00:00"]
    assert run_of([], "repeat").clock(61.0) == "1:01"
