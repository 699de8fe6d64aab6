"""The audit of the lock: known vulnerabilities fail it, silence is told, nothing hangs."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from time import sleep
from typing import Any

import pytest

from tests.support.redis_server import free_port

ROOT = Path(__file__).parents[2]
LOCK = (
    'a==1.0 \\\n    --hash=sha256:00\nb==2.0 ; sys_platform == "win32" \\\n    --hash=sha256:00\n'
)


@contextmanager
def _database(answer: Any, delay_s: float = 0.0) -> Iterator[tuple[str, list[Any]]]:
    """A stand-in that speaks as OSV does; its address, and what it was asked."""
    asked: list[Any] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            sleep(delay_s)
            body = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
            self.send_response(200)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None: ...

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", asked
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _audit(folder: Path, service: str, project: str = "") -> subprocess.CompletedProcess[str]:
    (folder / "a.lock").write_text(LOCK)
    (folder / "pyproject.toml").write_text(project)
    command: list[str | Path] = [
        sys.executable, ROOT / ".ci" / "audit.py", "--lock", folder / "a.lock", "--project",
        folder / "pyproject.toml", "--service", service, "--within", "1",
    ]  # fmt: skip
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


def test_clean_lock_passes(tmp_path: Path) -> None:
    """Every pinned version is asked about, those of other platforms too."""
    with _database({"results": [{}, {}]}) as (service, asked):
        done = _audit(tmp_path, service)
    assert (done.returncode, done.stderr) == (0, "")
    assert "2 packages, no vulnerability" in done.stdout
    named = [(each["package"]["name"], each["version"]) for each in asked[0]["queries"]]
    assert named == [("a", "1.0"), ("b", "2.0")]


def test_known_vulnerability_fails(tmp_path: Path) -> None:
    """A finding is named and fails the run; an explained one is named with its reason and does not."""
    answer = {"results": [{"vulns": [{"id": "GHSA-1"}, {"id": "GHSA-2"}]}, {}]}
    explained = '[tool.audit]\nignore = { GHSA-1 = "not reached", GHSA-2 = "nor this" }\n'
    with _database(answer) as (service, _):
        failed = _audit(tmp_path, service, explained.replace(', GHSA-2 = "nor this"', ""))
        passed = _audit(tmp_path, service, explained)
    assert failed.returncode == 1
    assert "a 1.0: GHSA-2\n" in failed.stdout
    assert passed.returncode == 0
    assert "a 1.0: GHSA-1 (ignored: not reached)" in passed.stdout


@pytest.mark.parametrize("answer", [b"<html>", {}, {"results": []}, {"results": [1, 2]}, []])
def test_answer_that_is_none_is_told(tmp_path: Path, answer: Any) -> None:
    """A proxy's page is no clean bill: the notice stands there, with how much was not compared."""
    with _database(answer) as (service, _):
        done = _audit(tmp_path, service)
    assert done.returncode == 0
    assert "NOT DONE" in done.stderr
    assert "2 packages were not compared" in done.stderr


def test_service_that_is_away_is_told(tmp_path: Path) -> None:
    """Nobody there, or nobody who answers in time: the notice, and no wait."""
    done = _audit(tmp_path, f"http://127.0.0.1:{free_port()}")
    assert (done.returncode, "NOT DONE" in done.stderr) == (0, True)
    with _database({"results": [{}, {}]}, delay_s=3.0) as (service, _):
        late = _audit(tmp_path, service)
    assert (late.returncode, "TimeoutError" in late.stderr) == (0, True)


def test_ci_runs_the_audit_and_fails_with_it() -> None:
    """.ci/run asks, says so, and hands a finding on as its own failure."""
    script = (ROOT / ".ci" / "run").read_text()
    assert "dev audit || audited=$?" in script
    assert 'exit "$audited"' in script
