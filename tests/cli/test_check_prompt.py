"""`check`, `prompt` and `reference`: what a config says, before anything is started."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from msgspec import inspect

from classifier.cli import COMMANDS
from classifier.config.schema import Config
from classifier.metrics.catalogue import described
from classifier.prompts import DIVIDER
from classifier.settings import Settings
from tests.support.commands import Command

ROOT = Path(__file__).parents[2]
SHIPPED = ROOT / "classifier" / "shipped" / "classifier.toml"
DEMO = ROOT / "classifier" / "shipped" / "demo.toml"
BANKING = ROOT / "examples" / "banking77" / "classifier.toml"
KEY = "sk-of-a-test"


@pytest.mark.parametrize(
    ("config", "labels", "paths"),
    [
        (SHIPPED, 16, {"short", "long", "decide"}),
        (DEMO, 16, {"short", "long"}),
        (BANKING, 78, {"short", "long"}),
    ],
    ids=("shipped", "demo", "banking77"),
)
def test_shipped_configs_are_valid(
    config: Path, labels: int, paths: set[str], command: Command
) -> None:
    """What we hand out works as it stands: every path has its tokens counted and its price known."""
    result = command("check", "--config", config, OPENAI_API_KEY=KEY)
    assert (result.code, result.err) == (0, "")
    assert result.out.startswith(f"{config}: valid, version ")
    assert f"{labels} labels, abstain 'other'; prices as of 20" in result.out
    rows = [line.split() for line in result.out.splitlines()]
    found = {row[0]: row for row in rows if row[-1:] == ["known"]}
    assert set(found) == paths
    assert all(int(row[-2]) > 0 for row in found.values())


def test_check_names_prompts_without_boundaries(config: Path, command: Command) -> None:
    """A prompt that does not mark where the ticket ends is told, with what to write; it is valid."""
    out = command("check", "--config", config).out
    assert "path 'short': short.txt does not mark where a ticket begins and ends" in out
    file = config.with_name("short.txt")
    file.write_text(file.read_text().replace("$ticket\n", "<ticket>$ticket</ticket>\n"))
    result = command("check", "--config", config)
    assert result.code == 0
    assert "path 'short'" not in result.out
    assert "path 'long': long.txt does not mark" in result.out


def test_check_without_arguments_is_the_shipped_config(command: Command) -> None:
    """A newcomer's first command needs nothing but the key."""
    assert str(SHIPPED) in command("check", OPENAI_API_KEY=KEY).out


def test_check_says_what_serve_would(command: Command) -> None:
    """A missing key does not make the file wrong, and is told with the variable to set."""
    result = command("check")
    assert result.code == 0
    assert "OPENAI_API_KEY is not set: `serve` will refuse to start" in result.out


def test_long_names_stay_whole(config: Path, command: Command) -> None:
    """A model's name is printed to its end, however long it is."""
    name = "ft:gpt-4o-mini-2024-07-18:" + "very-long-name-of-an-organisation:" * 3 + "[id]"
    config.write_text(config.read_text().replace("ft:base:org::1", name))
    out = command("check", "--config", config).out
    start = next(line.index("model") for line in out.splitlines() if "model" in line)
    column = [line[start:].split(" ")[0] for line in out.splitlines() if len(line) > start]
    assert name in "".join(column)


BROKEN = {
    "unknown key": ('auth = "none"', 'auht = "none"', "classifier.toml:13: unknown key"),
    "wrong type": ("timeout_s = 20.0", 'timeout_s = "soon"', "classifier.toml:25: paths.short."),
    "no TOML": ("[server]", "[server", "classifier.toml: not valid TOML"),
    "unknown endpoint": ('endpoint = "fast"', 'endpoint = "fats"', "unknown endpoint 'fats'"),
    "missing prompt": ('prompt = "short.txt"', 'prompt = "shrt.txt"', "shrt.txt does not exist"),
}


@pytest.mark.parametrize("name", BROKEN)
@pytest.mark.parametrize("doing", ["check", "serve"])
def test_broken_config_is_one_line(name: str, doing: str, config: Path, command: Command) -> None:
    """File, line and what is wrong, on stderr, with exit code 2 and no traceback."""
    right, wrong, message = BROKEN[name]
    config.write_text(config.read_text().replace(right, wrong, 1))
    result = command(doing, "--config", config)
    assert (result.code, result.out) == (2, "")
    assert result.err.startswith("classifier: ")
    assert message in result.err
    assert result.err.count("\n") == 1


def test_broken_prompt_is_named(config: Path, command: Command) -> None:
    """A template with a misspelt placeholder says which file and which name."""
    config.with_name("short.txt").write_text(f"$label_nmaes\n{DIVIDER}\n$ticket\n")
    result = command("check", "--config", config)
    assert result.code == 2
    assert "short.txt: unknown placeholder $label_nmaes; did you mean $label_names?" in result.err


@pytest.mark.parametrize(
    ("path", "config", "holds", "tokens"),
    [
        ("short", SHIPPED, "billing", 62),
        ("long", SHIPPED, "billing", 822),
        ("decide", SHIPPED, "billing: ", 304),
        ("long", BANKING, "card_arrival", 4_025),
    ],
)
def test_prompt_shows_what_a_model_reads(
    path: str, config: Path, holds: str, tokens: int, command: Command
) -> None:
    """The static part, the divider and the ticket's place; then the count against the threshold."""
    result = command("prompt", path, "--config", config)
    static, divider, ticket = result.out.partition(f"\n{DIVIDER}\n")
    assert result.code == 0
    assert holds in static
    assert divider
    assert ticket.count("(the ticket)") == 1
    assert f": {tokens} tokens without the ticket (o200k, an estimate), " in result.err
    where = f"{1_024 - tokens} below" if tokens < 1_024 else f"{tokens - 1_024} above"
    assert f"{where} the 1024 from which a vendor caches a prompt" in result.err


def test_unknown_path_names_the_known(command: Command) -> None:
    """A misspelt path is answered with those that there are."""
    result = command("prompt", "shrot")
    assert result.code == 2
    assert result.err == "classifier: there is no path 'shrot'; paths: short, long, decide\n"


def test_settings_reference_is_complete(command: Command) -> None:
    """Every variable stands there with its meaning."""
    out = command("reference", "settings").out
    rows = re.findall(r"^\| `(CLASSIFIER_\w+)` \| (\S.*?) \| .*\|$", out, re.MULTILINE)
    fields = [field.name for field in msgspec.structs.fields(Settings)]
    assert [name for name, _ in rows] == [f"CLASSIFIER_{field.upper()}" for field in fields]


def keys(kind: inspect.Type, seen: set[type]) -> Iterator[str]:
    """Every key of every table below a type."""
    match kind:
        case inspect.StructType(cls=cls, fields=fields) if cls not in seen:
            seen.add(cls)
            for field in fields:
                yield field.encode_name
                yield from keys(field.type, seen)
        case inspect.Metadata(type=inner) | inspect.VarTupleType(item_type=inner):
            yield from keys(inner, seen)
        case inspect.DictType(value_type=inner):
            yield from keys(inner, seen)
        case inspect.UnionType(types=kinds):
            for inner in kinds:
                yield from keys(inner, seen)


def test_config_reference_is_complete(command: Command) -> None:
    """Every key and every table of the config file stands there with its meaning."""
    out = command("reference", "config").out
    rows = dict(re.findall(r"^\| `(\w+)` \| (.*?) \| .*\|$", out, re.MULTILINE))
    tables = set(re.findall(r"\w+", " ".join(re.findall(r"^### `(.+)`$", out, re.MULTILINE))))
    assert [
        key for key in keys(inspect.type_info(Config), set()) if key not in {*rows, *tables}
    ] == []
    assert [key for key, meaning in rows.items() if not meaning] == []


def test_metrics_reference_is_complete(command: Command) -> None:
    """Every metric stands there with its type, labels and meaning."""
    out = command("reference", "metrics").out
    rows = re.findall(r"^\| `(classifier_\w+)` \| (\w+) \| .*? \| (\S.*) \|$", out, re.MULTILINE)
    expected = [(name, kind, meaning) for name, kind, _, meaning in described()]
    assert rows == expected


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_explains_itself(name: str, command: Command) -> None:
    """`--help` says what a command does and what each option means."""
    result = command(name, "--help")
    assert result.code == 0
    assert (COMMANDS[name].__doc__ or "").strip().splitlines()[0] in result.out


def test_help_lists_the_commands(command: Command) -> None:
    """The first thing a newcomer types shows what there is."""
    out = command("--help").out
    assert [name for name in COMMANDS if not re.search(rf"^    {name}\b", out, re.MULTILINE)] == []
