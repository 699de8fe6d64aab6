"""Images built by buildah and run by podman, for the tests behind the marker `container`.

Needs root, buildah, podman and runc or crun (Debian: apt-get install buildah podman runc). The base
image is the one in the local store; without one a stand-in is made by debootstrap.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.deploy.manifests import ROOT

BASE = f"docker.io/library/{re.findall(r'^ARG PYTHON_IMAGE=(.+)$', (ROOT / 'Dockerfile').read_text(), re.MULTILINE)[0]}"
CERTIFICATES = "/etc/ssl/certs"  # of this machine: its way to the package index may need them
HARDENED = (
    "--network=host", "--no-healthcheck", "--read-only", "--read-only-tmpfs=false", "--cap-drop=ALL",
    "--security-opt=no-new-privileges", "--pids-limit=64",
)  # fmt: skip
# Limits of their own: where CAP_SYS_RESOURCE is missing, podman's defaults cannot be set. No systemd.
CONTAINERS_CONF = """
[containers]
default_ulimits = ["nofile=4096:4096", "nproc=4096:4096"]
[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
"""


class Engine:
    """buildah and podman on this machine's store."""

    def __init__(self, folder: Path) -> None:
        missing = [name for name in ("buildah", "podman") if shutil.which(name) is None]
        if missing:
            raise RuntimeError(
                f"{' and '.join(missing)} missing: apt-get install buildah podman runc"
            )
        config = folder / "containers.conf"
        config.write_text(CONTAINERS_CONF)
        self._context = _snapshot(folder / "context")
        self._environ = {
            **os.environ,
            "BUILDAH_ISOLATION": "chroot",
            "CONTAINERS_CONF": str(config),
        }

    def run(self, *command: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """One command of theirs."""
        done = subprocess.run(
            command,
            env=self._environ,
            cwd=self._context,
            capture_output=True,
            text=True,
            check=False,
        )
        if check and done.returncode:
            raise RuntimeError(f"{command}: {done.stdout[-2000:]}{done.stderr[-2000:]}")
        return done

    def build(self, stage: str, *arguments: str) -> str:
        """The stage as an image, with a fixed time on every file; returns its id."""
        self._ensure_base()
        done = self.run(
            "buildah", "build", "--quiet", "--layers", "--pull-never", "--format=docker", "--timestamp=0",
            *_certificates(), f"--target={stage}",
            f"--tag=localhost/ticket-classifier:test-{stage}", *arguments, ".",
        )  # fmt: skip
        return done.stdout.split()[-1]

    def inspect(self, image: str) -> dict[str, Any]:
        """All that the image says about itself."""
        found: dict[str, Any] = json.loads(self.run("podman", "image", "inspect", image).stdout)[0]
        return found

    def layers(self, image: str) -> list[str]:
        """The digests of its layers."""
        return list(self.inspect(image)["RootFS"]["Layers"])

    def size(self, image: str) -> int:
        """Bytes of all its layers, unpacked."""
        return int(self.inspect(image)["Size"])

    @contextmanager
    def started(self, *arguments: str) -> Iterator[Container]:
        """A hardened container that runs in the background and is removed afterwards."""
        done = self.run("podman", "run", "--detach", *HARDENED, *arguments)
        container = Container(self, done.stdout.split()[-1])
        try:
            yield container
        finally:
            self.run("podman", "rm", "--force", "--time=0", container.name, check=False)

    def _ensure_base(self) -> None:
        if self.run("podman", "image", "exists", BASE, check=False).returncode == 0:
            return
        if shutil.which("debootstrap") is None:
            raise RuntimeError(f"no {BASE}: podman pull {BASE}, or apt-get install debootstrap")
        with tempfile.TemporaryDirectory() as folder:
            self.run(
                "debootstrap", "--variant=minbase",
                "--include=ca-certificates,python3,python3-pip,python3-venv", "bookworm", folder,
            )  # fmt: skip
            Path(folder, "usr/local/bin/python").symlink_to("/usr/bin/python3")
            name = self.run("buildah", "from", "scratch").stdout.strip()
            self.run("buildah", "add", "--quiet", name, folder, "/")
            self.run("buildah", "config", "--env=PATH=/usr/local/bin:/usr/bin:/bin", name)
            self.run("buildah", "commit", "--quiet", "--rm", name, BASE)


def _certificates() -> list[str]:
    return [f"--volume={CERTIFICATES}:{CERTIFICATES}:ro"] if Path(CERTIFICATES).is_dir() else []


def _snapshot(folder: Path) -> Path:
    """The sources as they are now: an edit during the tests must not get into half of the builds."""
    for name in ("Dockerfile", ".dockerignore", *_allowed()):
        source, target = ROOT / name, folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, target)
    return folder


def _allowed() -> list[str]:
    lines = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    return [line[1:] for line in lines if line.startswith("!")]


class Container:
    """A running one."""

    def __init__(self, engine: Engine, name: str) -> None:
        self._engine = engine
        self.name = name

    def execute(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Runs a command inside, by its name and without a shell."""
        return self._engine.run("podman", "exec", self.name, *command, check=False)

    def logs(self) -> str:
        done = self._engine.run("podman", "logs", self.name, check=False)
        return done.stdout + done.stderr

    def stop(self) -> int:
        """SIGTERM, as a cluster ends a pod; returns the exit code."""
        self._engine.run("podman", "stop", "--time=40", self.name)
        return int(self.state()["ExitCode"])

    def state(self) -> dict[str, Any]:
        """Status, exit code and why."""
        found: dict[str, Any] = json.loads(self._engine.run("podman", "inspect", self.name).stdout)[
            0
        ]
        return dict(found["State"])

    def wait(self, limit_s: float = 60) -> int:
        """The exit code of a container that ends by itself."""
        deadline = time.monotonic() + limit_s
        while self.state()["Status"] not in {"exited", "stopped"}:
            if time.monotonic() > deadline:
                raise RuntimeError(f"it still runs: {self.logs()}")
            time.sleep(0.1)
        return int(self.state()["ExitCode"])
