"""Prometheus rules: every one is tested with promtool, fires for its cause and is quiet otherwise."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.monitoring.parts import (
    ALERTS,
    OF_PROMETHEUS,
    RECORDED,
    RULE_TESTS,
    RULES,
    RUNBOOKS,
    exported,
    metrics_in,
    rule_tests,
)
from tests.support.prometheus import binary


def test_rules_are_valid_and_clean() -> None:
    """promtool finds no error and no doubled rule."""
    files = [str(file) for file in RULES.glob("*.yaml")]
    command = [binary("promtool"), "check", "rules", "--lint=all", "--lint-fatal", *files]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("file", RULE_TESTS, ids=lambda file: file.stem)
def test_promtool_agrees(file: Path, promtool: dict[Path, subprocess.Popen[str]]) -> None:
    """What each rule says about planted series is what its test expects."""
    binary("promtool")
    said, _ = promtool[file].communicate(timeout=120)
    assert promtool[file].returncode == 0, said


def test_every_alert_fires_in_a_test() -> None:
    """A planted cause fires it, with the text that somebody will read at night."""
    fired = {
        check["alertname"]
        for file in RULE_TESTS
        for case in rule_tests(file)
        for check in case.get("alert_rule_test", [])
        if any(alert.get("exp_annotations") for alert in check["exp_alerts"])
    }
    assert fired == set(ALERTS)


def test_every_recording_rule_has_a_value_in_a_test() -> None:
    """A rule whose figure nobody checked is no rule."""
    checked = {
        name
        for file in RULE_TESTS
        for case in rule_tests(file)
        for check in case.get("promql_expr_test", [])
        if check["exp_samples"]
        for name in metrics_in(check["expr"])
    }
    assert set(RECORDED) - checked == set()


def test_quiet_hours_hold_all_that_alerts_read() -> None:
    """Silence means something only when every metric of every alert is there."""
    wanted: set[str] = set()
    waiting = {name for rule in ALERTS.values() for name in metrics_in(rule["expr"])}
    while waiting:
        name = waiting.pop()
        if name in RECORDED:
            waiting |= metrics_in(RECORDED[name]["expr"]) - wanted
        else:
            wanted.add(name)
    quiet = rule_tests(RULES / "tests" / "quiet.yaml")
    for case in quiet:
        planted = {name for line in case["input_series"] for name in metrics_in(line["series"])}
        assert wanted - planted == set(), case["name"]
        firing = [check for check in case["promql_expr_test"] if "ALERTS" in check["expr"]]
        assert firing
        assert all(check["exp_samples"] == [] for check in firing)


def test_rules_read_metrics_that_exist() -> None:
    """A renamed metric silences no alert."""
    there = exported() | set(RECORDED) | OF_PROMETHEUS
    for name, rule in (ALERTS | RECORDED).items():
        assert metrics_in(rule["expr"]) <= there, name


def test_every_alert_says_what_to_do() -> None:
    """Severity, summary, description, and a section of the runbook; no section without an alert."""
    sections = {
        line.removeprefix("## ").lower()
        for line in RUNBOOKS.read_text().splitlines()
        if line.startswith("## Classifier")
    }
    for name, rule in ALERTS.items():
        assert rule["labels"]["severity"] in {"critical", "warning"}, name
        assert rule["annotations"].keys() == {"summary", "description", "runbook_url"}, name
        assert rule["annotations"]["runbook_url"] == f"docs/runbooks.md#{name.lower()}"
    assert sections == {name.lower() for name in ALERTS}
