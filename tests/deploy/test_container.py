"""The images really built and really run: read-only, without capabilities, under a memory limit.

`python3 dev test -m container tests/deploy` as root, with buildah and podman; a few minutes.
"""

from __future__ import annotations

import asyncio
import base64
import copy
import os
import shutil
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx2
import pytest
import yaml

from classifier.config.load import SHIPPED
from tests.deploy.containers import BASE, Container, Engine
from tests.deploy.manifests import Object, one, overlay
from tests.support.redis_server import RedisServer, free_port
from tests.support.upstream import Upstream

pytestmark = pytest.mark.container

KEY = "a-key-of-the-container-tests"
AUTHORIZED = {"Authorization": f"Bearer {KEY}"}
SERVICE = "localhost/ticket-classifier:test-service"
OWN_LAYERS = 190_000_000  # bytes on top of the base image; 169 MB measured 2026-11-23


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Engine:
    """buildah and podman; fails where they are missing, since the tests were asked for by marker."""
    return Engine(tmp_path_factory.mktemp("engine"))


@pytest.fixture(scope="module")
def image(engine: Engine) -> str:
    """The service's image; returns its id."""
    return engine.build("service")


@pytest.fixture
def config_folder(tmp_path: Path) -> Path:
    """The shipped files, readable for the container's user."""
    folder = tmp_path / "etc"
    shutil.copytree(SHIPPED, folder)
    for parent in (folder, *tmp_path.parents[:3], tmp_path):
        parent.chmod(0o755)
    return folder


@asynccontextmanager
async def service(
    engine: Engine, config_folder: Path, model: Upstream, *arguments: str
) -> AsyncIterator[tuple[Container, httpx2.AsyncClient]]:
    """The service's container on this machine's network, ready for tickets."""
    port = free_port()
    variables = {
        "CLASSIFIER_CONFIG": "/etc/classifier/demo.toml",
        "CLASSIFIER_PORT": str(port),
        "CLASSIFIER_API_KEYS": KEY,
        "CLASSIFIER_ENDPOINT_SIMULATOR_URL": model.url,
    }
    options = [f"--env={name}={value}" for name, value in variables.items()]
    started = engine.started(
        "--memory=320m",
        f"--volume={config_folder}:/etc/classifier:ro",
        *options,
        *arguments,
        SERVICE,
    )
    with started as container:
        async with client(port) as caller:
            await ready(caller, container)
            yield container, caller


def client(port: int) -> httpx2.AsyncClient:
    """A caller with the right key."""
    return httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}", headers=AUTHORIZED, timeout=30)


async def ready(caller: httpx2.AsyncClient, container: Container | None = None) -> None:
    """Waits for a path that can answer."""
    for _ in range(300):
        try:
            if (await caller.get("/readyz")).status_code == httpx2.codes.OK:
                return
        except httpx2.TransportError:
            pass
        await asyncio.sleep(0.1)
    raise AssertionError(container.logs() if container else "not ready after 30 s")


async def test_image_serves_read_only_without_rights(
    engine: Engine, image: str, config_folder: Path, short_model: Upstream
) -> None:
    """No writable place, no capability, no root, 320 MB: tickets are answered all the same."""
    async with service(engine, config_folder, short_model) as (container, caller):
        answer = await caller.post("/classify", json={"body": "charged twice"})
        assert answer.json()["label"] == "billing"
        assert (await caller.get("/schema/openapi.json")).status_code == 200
        status = (await asyncio.to_thread(container.execute, "cat", "/proc/1/status")).stdout
        facts = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
        assert facts["Uid"].split() == ["10001"] * 4
        assert int(facts["CapEff"], 16) == 0
        assert facts["NoNewPrivs"] == "1"
        for place in ("/x", "/tmp/x", "/opt/classifier/x"):  # noqa: S108 -- nothing is made there
            script = f"open({place!r}, 'w')"
            done = await asyncio.to_thread(container.execute, "python", "-c", script)
            assert "Read-only file system" in done.stderr or "Permission denied" in done.stderr


async def test_health_check_needs_no_curl(
    engine: Engine, image: str, config_folder: Path, short_model: Upstream
) -> None:
    """The image's HEALTHCHECK, run inside: 0 while the service answers."""
    _, *command = engine.inspect(image)["Healthcheck"]["Test"]
    async with service(engine, config_folder, short_model) as (container, _):
        done = await asyncio.to_thread(container.execute, *command)
        assert (done.returncode, done.stderr) == (0, "")
        away = await asyncio.to_thread(container.execute, "env", "CLASSIFIER_PORT=1", *command)
        assert away.returncode != 0


async def test_stop_answers_the_ticket_in_flight(
    engine: Engine, image: str, config_folder: Path, short_model: Upstream
) -> None:
    """SIGTERM reaches the service itself (no shell in between): it drains and ends with 0."""
    async with service(engine, config_folder, short_model) as (container, caller):
        short_model.delay_s = 1.0
        asking = asyncio.create_task(caller.post("/classify", json={"body": "in flight"}))
        await asyncio.sleep(0.3)
        code = await asyncio.to_thread(container.stop)
        assert (await asking).json()["label"] == "billing"
        assert code == 0


def test_image_refuses_an_open_door(engine: Engine, image: str) -> None:
    """It listens on all addresses, so without keys it ends, and says which variable is missing."""
    with engine.started(
        "--env=OPENAI_API_KEY=not-asked-for-in-this-test", SERVICE
    ) as container:  # fmt: skip
        assert container.wait() == 2
        assert "CLASSIFIER_API_KEYS" in container.logs()


def test_image_says_who_it_is(engine: Engine, image: str) -> None:
    """Numeric user, exec-form start, and no time of build in the labels."""
    facts = engine.inspect(image)["Config"]
    assert facts["User"] == "10001:10001"
    assert (facts["Entrypoint"], facts["Cmd"]) == (["classifier"], ["serve"])
    assert facts["Labels"]["org.opencontainers.image.title"] == "ticket-classifier"
    assert not any("created" in name for name in facts["Labels"])


def test_image_is_small(engine: Engine, image: str) -> None:
    """What is ours on top of the base image stays within its budget."""
    assert engine.size(image) - engine.size(BASE) < OWN_LAYERS


def test_same_sources_give_the_same_layers(engine: Engine, image: str) -> None:
    """Built again from nothing, every layer is the same bit for bit, byte code included."""
    assert engine.layers(engine.build("service", "--no-cache")) == engine.layers(image)


def test_simulator_image_answers(engine: Engine) -> None:
    """The simulated models come up read-only and without rights too."""
    engine.build("simulator")
    port = free_port()
    arguments = ("simulate", f"--port={port}", "--train=/opt/lessons/tickets.jsonl")
    with (
        engine.started(
            "--memory=512m", "localhost/ticket-classifier:test-simulator", *arguments
        ) as container,
        httpx2.Client(base_url=f"http://127.0.0.1:{port}") as caller,
    ):
        assert "simulated" in _eventually(caller, container).text


def _eventually(caller: httpx2.Client, container: Container) -> httpx2.Response:
    for _ in range(600):
        try:
            return caller.get("/")
        except httpx2.TransportError:
            assert container.state()["Status"] == "running", container.logs()
    raise AssertionError(container.logs())


def test_loadtest_image_loads_its_scenarios(engine: Engine) -> None:
    """Locust finds the user class and the data file in the image."""
    engine.build("loadtest")
    arguments = ("--env=LOAD_SCENARIO=day", "--tmpfs=/tmp")
    with engine.started(
        *arguments, "localhost/ticket-classifier:test-loadtest", "--list"
    ) as container:
        assert container.wait() == 0
        assert "Helpdesk" in container.logs()


# ------------------------------------------------------------------------------- the pod of k8s/


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RedisServer]:
    """A real server that wants the password of the demo's Secret."""
    server = RedisServer(tmp_path)
    server.start()
    server.command("CONFIG", "SET", "requirepass", "demo-redis-not-a-secret")
    yield server
    server.stop()


def playable(port: int, model: Upstream, redis: RedisServer, secrets: Path) -> list[Object]:
    """The demo's pod with its ConfigMap, as far as podman 4.3 can play it.

    It takes no Secret as a volume (so its files come from a folder), makes no folder inside a
    ConfigMap's volume, would turn probes into curl inside the container, and knows neither a preStop
    sleep nor a cluster's host names, and maps no ports on the host's network. Everything else is what the cluster gets.
    """
    objects = overlay("demo")
    deployment = copy.deepcopy(one(objects, "Deployment", "classifier"))
    _write_secrets(one(objects, "Secret", "classifier"), redis, secrets)
    spec = deployment["spec"]["template"]["spec"]
    spec.pop("topologySpreadConstraints")
    config = copy.deepcopy(one(objects, "ConfigMap", "classifier-config"))
    config["data"]["classifier.toml"] = config["data"]["classifier.toml"].replace("prompts/", "")
    for volume in spec["volumes"]:
        for item in volume.get("configMap", {}).get("items", []):
            item["path"] = item["key"]
        if volume.pop("secret", None):
            volume["hostPath"] = {"path": str(secrets), "type": "Directory"}
    (container,) = spec["containers"]
    for name in ("ports", "startupProbe", "readinessProbe", "livenessProbe"):
        container.pop(name)
    container |= {"image": SERVICE, "imagePullPolicy": "Never"}
    for variable in container["env"]:
        if variable["name"] == "CLASSIFIER_ENDPOINT_SIMULATOR_URL":
            variable["value"] = model.url
    container["env"].append({"name": "CLASSIFIER_PORT", "value": str(port)})
    return [config, deployment]


def _write_secrets(secret: Object, redis: RedisServer, folder: Path) -> None:
    """Files as the kubelet would mount them: root's, readable for the pod's group."""
    folder.mkdir()
    values = {name: base64.b64decode(value).decode() for name, value in secret["data"].items()}
    values["redis-url"] = values["redis-url"].replace("redis:6379", f"127.0.0.1:{redis.port}")
    values["api-keys"] = KEY
    for name, value in values.items():
        file = folder / name
        file.write_text(value)
        file.chmod(0o440)
        os.chown(file, 0, 10001)


async def test_pod_of_the_manifests_serves(
    engine: Engine, image: str, tmp_path: Path, short_model: Upstream, redis: RedisServer
) -> None:
    """ConfigMap, Secret, user, read-only root and limits of the Deployment make a service that works."""
    port = free_port()
    file = tmp_path / "pod.yaml"
    file.write_text(yaml.safe_dump_all(playable(port, short_model, redis, tmp_path / "secrets")))
    await asyncio.to_thread(
        engine.run, "podman", "play", "kube", "--network=host", "--replace", str(file)
    )
    try:
        async with client(port) as caller:
            await ready(caller)
            first = (await caller.post("/classify", json={"body": "charged twice"})).json()
            assert (first["label"], first["source"]) == ("billing", "model")
            state = (await caller.get("/readyz")).json()
            assert state["cache"] == "memory, redis"
    finally:
        await asyncio.to_thread(engine.run, "podman", "play", "kube", "--down", str(file))
