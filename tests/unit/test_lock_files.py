"""The locks install the same bytes everywhere, and nothing here belongs to one machine."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from pip._internal.models.index import PyPI

ROOT = Path(__file__).parents[2]
LOCKS = sorted(ROOT.glob("requirements*.lock"))
TEXTS = [path for name in ("README.md", ".ci/run", "Dockerfile") if (path := ROOT / name).exists()]

PIN = re.compile(r"[a-z0-9][a-z0-9.-]*==[^\s;]+( ; [^\\]+?)?( +--hash=sha256:[0-9a-f]{64})+")
PATH = re.compile(r"(?:^|[\s=@\"'(])(?:/|~/|[A-Za-z]:\\)", re.MULTILINE)
URL = re.compile(r"[a-z+]+://|file:", re.IGNORECASE)
HOME = re.compile(r"/home/\w|/Users/\w|[A-Za-z]:\\")
INDEX_OPTION = re.compile(r"(?i)index[-_]url|find[-_]links|trusted[-_]host")
INDEX_HOSTS = (PyPI.netloc, PyPI.file_storage_domain)  # asked of pip, so that none is named here

each_lock = pytest.mark.parametrize("lock", LOCKS, ids=lambda path: path.name)
each_file = pytest.mark.parametrize("file", LOCKS + TEXTS, ids=lambda path: path.name)


def pins(lock: Path) -> list[str]:
    """The lock's requirements, one a line, without comments."""
    lines = lock.read_text(encoding="utf-8").replace("\\\n", " ").splitlines()
    return [line for line in lines if line.strip() and not line.lstrip().startswith("#")]


def versions(lock: Path) -> set[str]:
    """`name==version ; marker` for each requirement."""
    return {re.sub(r" +--hash=.*", "", pin) for pin in pins(lock)}


def names(requirements: list[str]) -> set[str]:
    """The normalised names of requirements as pyproject.toml writes them."""
    found = (re.match(r"[\w.-]+", requirement) for requirement in requirements)
    return {re.sub(r"[-_.]+", "-", match[0]).lower() for match in found if match}


def test_both_locks_exist() -> None:
    """One lock to run the service, one to work on it."""
    assert [path.name for path in LOCKS] == ["requirements-dev.lock", "requirements.lock"]


@each_lock
def test_every_requirement_has_hashes(lock: Path) -> None:
    """A requirement without an exact version and a hash could be anything tomorrow."""
    assert [pin for pin in pins(lock) if not PIN.fullmatch(pin.rstrip())] == []


@each_lock
def test_lock_holds_no_url(lock: Path) -> None:
    """Where packages come from is the installer's setting, not ours."""
    assert URL.findall(lock.read_text(encoding="utf-8")) == []


@each_lock
def test_lock_holds_no_path(lock: Path) -> None:
    """A path in a lock exists on one machine only."""
    assert PATH.findall(lock.read_text(encoding="utf-8")) == []


@each_file
def test_no_package_index_is_named(file: Path) -> None:
    """A mirror or a closed network must do without any change to our files."""
    text = file.read_text(encoding="utf-8")
    assert [host for host in INDEX_HOSTS if host in text] == []
    assert INDEX_OPTION.findall(text) == []


@each_file
def test_no_path_of_this_machine(file: Path) -> None:
    """What a reader copies from here works in the reader's own folder."""
    text = file.read_text(encoding="utf-8")
    assert HOME.findall(text) == []
    assert len(ROOT.parts) <= 2 or str(ROOT) not in text  # a container's /app may well be named


def test_locks_agree_on_versions() -> None:
    """What is shipped is what was tested."""
    everything, runtime = LOCKS
    assert versions(runtime) <= versions(everything)


def test_locks_know_every_dependency() -> None:
    """A dependency that was added to pyproject.toml is locked in the same commit."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    everything, runtime = ({pin.split("==")[0] for pin in pins(lock)} for lock in LOCKS)
    needed, extras = project["project"]["dependencies"], project["project"]["optional-dependencies"]
    dev = project["dependency-groups"]["dev"]
    assert names([*needed, *extras["tokens"]]) <= runtime
    assert names([*needed, *extras["tokens"], *extras["simulator"], *dev]) <= everything
