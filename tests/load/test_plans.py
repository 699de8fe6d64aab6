"""Scenarios are sound, and wishes change a run as they say."""

from __future__ import annotations

import ast
import math
import sys
from pathlib import Path

import pytest

from loadtests.__main__ import parser
from loadtests.limits import Limit
from loadtests.scenarios import SCENARIOS, find
from loadtests.settings import LoadError, Settings, read_settings, write_settings
from tests.load.making import plan_of

each_scenario = pytest.mark.parametrize("name", SCENARIOS)
ROOT = Path(__file__).parents[2]


@each_scenario
def test_arms_add_up(name: str) -> None:
    """Every arrival is in exactly one arm."""
    assert math.isclose(sum(arm.share for arm in find(name).arms), 1.0)


@each_scenario
def test_limits_are_named_once_and_look_at_phases_that_exist(name: str) -> None:
    """A limit can be overridden by its name and is never about nothing."""
    scenario = find(name)
    limits = [limit.name for limit in scenario.limits]
    phases = {phase.name for phase in scenario.phases}
    assert len(set(limits)) == len(limits)
    assert {limit.phase for limit in scenario.limits} <= {"", *phases}
    # deliveries are acknowledged without a model, so its time says nothing about the generator's
    of_models = set() if scenario.config else {"late_share"}
    assert {"late_p99_ms", "lag_p99_ms"} | of_models <= set(limits)


@each_scenario
def test_phases_lie_in_the_run(name: str) -> None:
    """They come one after another."""
    ends = 0.0
    for phase in find(name).phases:
        assert ends <= phase.start < phase.end <= 1
        ends = phase.end


@each_scenario
def test_defaults_end_in_minutes(name: str) -> None:
    """Every scenario is over soon and offers no more than it says."""
    planned = plan_of(name)
    assert planned.rates.span_s <= 150
    assert planned.rates.peak <= find(name).peak + 1e-9
    assert planned.count >= 300


def test_day_says_what_is_compressed_and_left_out() -> None:
    """Time, rate and share multiply to the real day."""
    planned = plan_of("day", minutes=4.0, rate=30.0)
    assert planned.compress == 360
    assert math.isclose(planned.rates.peak, 30.0)
    assert math.isclose(planned.rates.total, 50_000 * planned.share)
    assert "1 s stands for 360 s" in planned.meaning
    assert f"{planned.share:.1%} of the tickets" in planned.meaning


def test_whole_day_is_sent_when_the_rate_allows() -> None:
    """With a rate that is high enough nothing is left out."""
    planned = plan_of("day", compress=144.0, rate=1_000.0)
    assert planned.count == 50_000
    assert planned.share == 1
    assert "every ticket is sent" in planned.meaning
    assert math.isclose(planned.rates.peak, 144 * planned.real_rates.peak)


def test_direct_scenarios_run_at_their_rate() -> None:
    """Rate and minutes are taken as they are."""
    planned = plan_of("repeat", minutes=0.5, rate=10.0)
    assert (planned.compress, planned.count) == (1, 300)


def test_limits_can_be_set() -> None:
    """For this run only, and the report says so."""
    planned = plan_of("day", limits={"short_p95_ms": 900.0})
    changed = {limit.name: limit for limit in planned.limits if limit.own}
    assert {name: limit.at for name, limit in changed.items()} == {"short_p95_ms": 900.0}


@pytest.mark.parametrize(
    ("scenario", "wishes", "word"),
    [
        ("day", {"minutes": 1.0, "compress": 10.0}, "either --minutes or --compress"),
        ("repeat", {"compress": 10.0}, "not compressed"),
        ("day", {"limits": {"short_p95": 1.0}}, "short_p95_ms"),
    ],
)
def test_impossible_wishes_are_refused(scenario: str, wishes: dict[str, object], word: str) -> None:
    """With a message that says what to do."""
    with pytest.raises(LoadError, match=word):
        plan_of(scenario, **wishes)


def test_unknown_scenario_is_refused() -> None:
    """With the names that there are."""
    with pytest.raises(LoadError, match="day, peak, burst, repeat, outage, mixed"):
        find("dya")


def test_variables_carry_all_settings(tmp_path: Path) -> None:
    """What the runner passes on is what Locust reads: nothing is lost between the processes."""
    settings = Settings(
        scenario="peak", target="http://x:1", minutes=0.5, rate=12.5, seed=7, data=tmp_path / "t",
        out=tmp_path, limits={"answered": 99.0, "late_share": 20.0}, api_key="k", max_usd=2.0,
        conditions=tmp_path / "c", note="a note",
    )  # fmt: skip
    assert read_settings(write_settings(settings)) == settings
    assert read_settings({}) == Settings()


@pytest.mark.parametrize(
    ("variable", "value"),
    [("LOAD_MINUTE", "1"), ("LOAD_MINUTES", "0"), ("LOAD_RATE", "x"), ("LOAD_LIMITS", "a:1")],
)
def test_wrong_variables_are_refused(variable: str, value: str) -> None:
    """A typo in a manifest does not start another test than the one that was meant."""
    with pytest.raises(LoadError, match=variable):
        read_settings({variable: value})


def test_limits_know_their_direction() -> None:
    """At most is the rule, at least where it says so."""
    limit = Limit(name="x", of="x", measure=lambda _: None, at=10)
    assert limit.holds(10)
    assert not limit.holds(10.1)
    assert not Limit(name="x", of="x", measure=lambda _: None, at=10, at_least=True).holds(9.9)


def test_commands_in_the_documentation_are_taken() -> None:
    """Whatever a reader copies from docs/load.md is a command line that exists."""
    page = (ROOT / "docs" / "load.md").read_text(encoding="utf-8")
    lines = [line for line in page.splitlines() if line.startswith("python3 dev load")]
    assert len(lines) >= 5
    for line in lines:
        parser().parse_args(line.partition("#")[0].split()[3:])


def test_locustfile_is_short() -> None:
    """It only names what is elsewhere."""
    assert len((ROOT / "loadtests" / "locustfile.py").read_text().splitlines()) <= 30


def test_generator_needs_nothing_but_locust() -> None:
    """The pods that send tickets have Locust and this folder, not the service."""
    waiting, seen, outside = ["loadtests.locustfile"], set(), set()
    while waiting:
        name = waiting.pop()
        file = ROOT.joinpath(*name.split("."))
        file = file / "__init__.py" if file.is_dir() else file.with_suffix(".py")
        if name in seen or not file.exists():
            continue
        seen.add(name)
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom):
                names = [str(node.module)] + [f"{node.module}.{one.name}" for one in node.names]
            waiting += [one for one in names if one.startswith("loadtests")]
            outside |= {one.split(".")[0] for one in names} - sys.stdlib_module_names
    assert "loadtests.report" in seen
    assert outside == {"loadtests", "locust", "gevent", "psutil"}
