from __future__ import annotations

from pathlib import Path
from random import Random

import pytest

from classifier.errors import ConfigError
from classifier.simulator.config import SimulatorConfig, load
from classifier.simulator.extras import require
from classifier.simulator.latency import LatencyModel
from classifier.simulator.models import Models
from classifier.simulator.refusals import Refused
from classifier.simulator.rows import read_rows
from tests.simulator.conftest import TICKETS


class Indifferent:
    """A reader to which all labels are alike."""

    def probabilities(
        self, text: str, offered: tuple[str, ...], sharpness: float
    ) -> tuple[float, ...]:
        return (1 / len(offered),) * len(offered)


@pytest.fixture
def models() -> Models:
    """The shipped models, without training."""
    reader = Indifferent()
    return Models(load(), {"examples": reader, "tickets": reader}, "other", seed=1)  # type: ignore[dict-item]


def written(path: Path, text: str) -> Path:
    """A file with this text."""
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("model", "endpoint", "tokens", "claimed_s"),
    [
        ("ft:gpt-4o-mini-2024-07-18:lumio:tickets:x", "chat", 150, 0.1),
        ("gpt-4o-mini", "chat", 900, 0.4),
        ("gpt-6-luna", "chat", 900, 0.35),
        ("gpt-6-luna-2026-10-01", "decisions", 400, 0.2),
    ],
)
def test_shipped_times_are_the_claims(
    models: Models, model: str, endpoint: str, tokens: int, claimed_s: float
) -> None:
    """The shipped medians are the claimed times, at the prompts' usual lengths."""
    found = models.find(model, endpoint)  # type: ignore[arg-type]
    latency = LatencyModel(found.config.latency, Random(1))
    output_tokens = 1 if endpoint == "chat" else 0
    assert latency.median_s(tokens, output_tokens) == pytest.approx(claimed_s, rel=0.03)


@pytest.mark.parametrize(
    ("model", "endpoint"), [("gpt-99", "chat"), ("ft:a", "decisions"), ("xft:a", "chat")]
)
def test_other_models_do_not_exist(models: Models, model: str, endpoint: str) -> None:
    """What no entry names is unknown, as at a vendor's."""
    with pytest.raises(Refused, match=model) as caught:
        models.find(model, endpoint)  # type: ignore[arg-type]
    assert (caught.value.status, caught.value.code) == (404, "model_not_found")


def test_a_model_is_listed_once(models: Models) -> None:
    """Two entries for the two endpoints of one model are one model."""
    names = [one["id"] for one in models.listing()["data"]]
    assert names.count("gpt-6-luna") == 1


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('[[models]]\nmatch = "a"\nread = "tickets"\n', "s.toml:3: .*did you mean 'reads'"),
        ('[[models]]\nmatch = "a"\n[models.latency]\nsigma = -1\n', "s.toml:4: .*sigma"),
        ("models = []\n", "s.toml:1: models"),
        ("", "models"),
        ("models", "not valid TOML"),
    ],
)
def test_wrong_files_say_where(tmp_path: Path, text: str, says: str) -> None:
    """An error names the file, the line and the nearest key."""
    with pytest.raises(ConfigError, match=says):
        load(written(tmp_path / "s.toml", text))


def test_missing_files_are_named(tmp_path: Path) -> None:
    """A file that is not there is a config error with its name."""
    with pytest.raises(ConfigError, match=r"none\.toml"):
        load(tmp_path / "none.toml")
    with pytest.raises(ConfigError, match=r"none\.jsonl"):
        read_rows(tmp_path / "none.jsonl")


def test_only_the_split_is_learned(tmp_path: Path) -> None:
    """Test tickets never reach the reader; rows without a split are meant for training."""
    text = (
        '{"body": "a", "label": "x", "split": "train", "id": "1"}\n\n'
        '{"body": "b", "label": "y", "split": "test"}\n'
        '{"subject": "s", "body": "c", "label": "z"}\n'
    )
    rows = read_rows(written(tmp_path / "rows.jsonl", text))
    assert rows == [("a", "x"), ("Subject: s\n\nc", "z")]
    learned, unseen = (set(read_rows(TICKETS, split)) for split in ("train", "test"))
    assert not learned & unseen


@pytest.mark.parametrize("line", ["{", "[]", '{"body": "a"}', '{"body": 1, "label": "x"}'])
def test_odd_rows_say_where(tmp_path: Path, line: str) -> None:
    """A row that is no labelled ticket is an error with its line."""
    good = '{"body": "a", "label": "x"}\n'
    with pytest.raises(ConfigError, match=r"rows\.jsonl:2: not a labelled ticket"):
        read_rows(written(tmp_path / "rows.jsonl", good + line))


def test_missing_extra_says_what_to_install() -> None:
    """Without its libraries the simulator refuses to start and names the extra."""
    with pytest.raises(ConfigError, match=r"pip install 'ticket-classifier\[simulator\]'"):
        require("msgspec", "no_such_library_anywhere")


def test_config_holds_records_only() -> None:
    """The shipped file is read whole, first entry first."""
    config = load()
    assert isinstance(config, SimulatorConfig)
    assert [one.match for one in config.models] == [
        "ft:*",
        "gpt-4o-mini*",
        "gpt-6-luna*",
        "gpt-6-luna*",
        "naive*",
        "lenient*",
    ]
    assert {one.match for one in config.models if one.obeys != "nobody"} == {"naive*", "lenient*"}
