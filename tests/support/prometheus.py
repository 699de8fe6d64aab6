"""A real Prometheus for tests: scrapes every second, with the rules; and promtool."""

from __future__ import annotations

import shutil
import subprocess
import time
from pathlib import Path

import httpx2
import pytest

from tests.support.redis_server import free_port


def binary(name: str) -> str:
    """prometheus or promtool from the PATH; they come with Debian's package `prometheus`."""
    found = shutil.which(name)
    if found is None:
        # The README promises tests that need only Python; CI installs it and so skips nothing.
        pytest.skip(f"no {name} on the PATH (Debian: apt-get install prometheus)")
    return found


class Prometheus:
    """One server over one target, with rule files; ended by `stop`."""

    def __init__(self, folder: Path, rules: list[Path]) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._rules = rules
        self._client = httpx2.Client()
        self._config = folder / "prometheus.yml"
        self._command = [
            binary("prometheus"), f"--config.file={self._config}",
            f"--storage.tsdb.path={folder}/data", f"--web.listen-address=127.0.0.1:{self.port}",
            "--log.level=error",
        ]  # fmt: skip
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, target_url: str) -> None:
        """Ready when it returns; the first scrape follows within a second."""
        self._config.write_text(
            "global: {scrape_interval: 1s, evaluation_interval: 1s}\n"
            f"rule_files: [{', '.join(str(rule) for rule in self._rules)}]\n"
            "scrape_configs:\n- job_name: classifier\n  static_configs:\n"
            f"  - targets: ['{target_url.removeprefix('http://')}']\n"
        )
        self._process = subprocess.Popen(self._command)
        deadline = time.monotonic() + 20
        while not self._ready():
            if time.monotonic() > deadline or self._process.poll() is not None:
                raise RuntimeError("Prometheus did not start")
            time.sleep(0.02)

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None
        self._client.close()

    def rules(self) -> list[dict[str, str]]:
        """Every rule as the server sees it, with its health."""
        groups = self._client.get(f"{self.url}/api/v1/rules").json()["data"]["groups"]
        return [rule for group in groups for rule in group["rules"]]

    def _ready(self) -> bool:
        try:
            return self._client.get(f"{self.url}/-/ready").is_success
        except httpx2.HTTPError:
            return False
