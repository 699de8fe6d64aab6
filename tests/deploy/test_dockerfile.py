"""The Dockerfile: linted, locked, and without what belongs to one machine."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from tests.deploy.manifests import ROOT, tool

DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")
LOCK = ROOT / "requirements-dev.lock"


def part(*arguments: str) -> subprocess.CompletedProcess[str]:
    """What lock_part.py says."""
    return subprocess.run(
        [sys.executable, "k8s/image/lock_part.py", LOCK.name, *arguments],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip


def pins(text: str) -> set[str]:
    """The names that are pinned."""
    return set(re.findall(r"^([a-z0-9][\w.-]*)==", text, re.MULTILINE))


def test_linter_finds_nothing() -> None:
    """hadolint, with every rule that it has."""
    done = subprocess.run(
        [tool("hadolint"), "Dockerfile"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, "")


def test_everything_from_an_index_is_locked() -> None:
    """Each pip call checks hashes, or asks no index at all."""
    calls = re.findall(r"-m pip .*?(?=&&|\n\S|\Z)", DOCKERFILE, re.DOTALL)
    assert len(calls) == 6
    for call in calls:
        assert "--require-hashes" in call or "--no-index" in call or "--no-build-isolation" in call


def test_part_of_lock_holds_all_that_is_needed() -> None:
    """What a package leads to comes with it; what it does not lead to stays out."""
    found = pins(part("--only", "hatchling").stdout)
    assert {"hatchling", "packaging", "pathspec", "pluggy", "trove-classifiers"} <= found
    assert not {"openai", "pytest"} & found


def test_part_of_lock_keeps_the_hashes() -> None:
    """Every pin of the part stands in the lock word for word."""
    lines = part("--only", "locust").stdout.splitlines()
    assert lines
    assert set(lines) <= set(LOCK.read_text(encoding="utf-8").splitlines())
    ends = [line for line in lines if line.startswith("    --hash=") and not line.endswith("\\")]
    assert len(ends) == len(pins("\n".join(lines)))


def test_part_of_lock_leaves_out() -> None:
    """`--without` takes away just these names."""
    whole = pins(LOCK.read_text(encoding="utf-8"))
    assert pins(part("--without", "faker", "polyfactory").stdout) == whole - {
        "faker",
        "polyfactory",
    }


def test_part_of_lock_knows_its_names() -> None:
    """A name that is not locked stops the build and is named."""
    done = part("--only", "hatchlink")
    assert done.returncode != 0
    assert "hatchlink" in done.stderr


@pytest.mark.parametrize("stage", ["service", "simulator", "loadtest"])
def test_stage_exists(stage: str) -> None:
    """The stages that compose.yaml and k8s/ build are there."""
    assert re.search(rf"^FROM base AS {stage}$", DOCKERFILE, re.MULTILINE)


def test_builder_gets_what_is_copied() -> None:
    """.dockerignore lets through what the Dockerfile copies from the repository, and it exists."""
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    allowed = [line[1:] for line in ignored if line.startswith("!")]
    copied = [
        source
        for words in re.findall(r"^COPY (?!--from)(.+)$", DOCKERFILE, re.MULTILINE)
        for source in words.split()[:-1]
    ]
    assert copied
    for source in copied:
        assert (ROOT / source).exists(), source
        assert any(source == name or source.startswith(f"{name}/") for name in allowed), source
