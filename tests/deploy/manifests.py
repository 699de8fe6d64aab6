"""The manifests as a cluster would get them: rendered by the real kustomize, read by PyYAML."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from classifier.config.load import load
from classifier.edge.server import finish_s

ROOT = Path(__file__).parents[2]
K8S = ROOT / "k8s"
OVERLAYS = ("demo", "helpdesks", "loadtest", "production")
OUR_IMAGE = "ticket-classifier"

Object = dict[str, Any]


def tool(name: str) -> str:
    """A tool's wheel in the environment of the tests, otherwise the one on the PATH; never a skip."""
    beside = Path(sys.executable).with_name(name)
    found = str(beside) if beside.exists() else shutil.which(name)
    assert found, f"{name} is missing: install requirements-dev.lock, or {name} itself"
    return found


def finishing_s(config: Path) -> float:
    """How long requests under way may take at the end with this config."""
    return finish_s(load(config, {}).config.server.max_timeout_s)


@cache
def rendered(folder: str) -> tuple[Object, ...]:
    """Every object of a kustomization under k8s/."""
    done = subprocess.run(
        [tool("kubectl"), "kustomize", str(K8S / folder)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return tuple(yaml.safe_load_all(done.stdout))


def overlay(name: str) -> tuple[Object, ...]:
    """Every object of an overlay."""
    return rendered(f"overlays/{name}")


def one(objects: tuple[Object, ...], kind: str, name: str) -> Object:
    """The only object of this kind and name."""
    found = [each for each in objects if (each["kind"], each["metadata"]["name"]) == (kind, name)]
    assert len(found) == 1, f"{len(found)} of {kind} {name}"
    return found[0]


def pods(objects: tuple[Object, ...]) -> Iterator[tuple[str, Object]]:
    """Name and pod spec of everything that makes pods."""
    for each in objects:
        template = each.get("spec", {}).get("template")
        if each["kind"] in {"Deployment", "StatefulSet", "Job", "DaemonSet"}:
            yield each["metadata"]["name"], template["spec"]


def pod(objects: tuple[Object, ...], name: str) -> Object:
    """The pod spec of one of them."""
    return dict(pods(objects))[name]


def environment(container: Object) -> dict[str, str]:
    """The variables that a manifest writes out."""
    return {each["name"]: each["value"] for each in container.get("env", []) if "value" in each}
