"""The ConfigMaps hold a config that the service takes, and stay what the package ships."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec import structs

from classifier.config.load import SHIPPED, load
from classifier.settings import read_settings
from tests.deploy.manifests import K8S, environment, one, overlay, pod

BASE = K8S / "base" / "config"
VALUES = {
    "api-keys": "a-key-of-more-than-sixteen-characters",
    "cache-secret": "a-secret-of-more-than-sixteen-characters",
    "redis-url": "rediss://:password@redis.example.com:6380/0",
    "inbox-redis-url": "redis://:password@inbox:6379/0",
}
SAME = (
    "taxonomy.toml",
    "prices.toml",
    "prompts/short.txt",
    "prompts/long.txt",
    "prompts/decide.txt",
)


@pytest.mark.parametrize("name", SAME)
def test_copies_are_what_is_shipped(name: str) -> None:
    """kustomize takes no file from outside its folder, so there are copies: `cp` the changed one."""
    assert (BASE / name).read_bytes() == (SHIPPED / name).read_bytes()


def test_demo_config_is_what_is_shipped() -> None:
    """The cluster's demo is the demo of the README: `cp classifier/shipped/demo.toml` there."""
    demo = K8S / "overlays" / "demo" / "classifier.toml"
    assert demo.read_bytes() == (SHIPPED / "demo.toml").read_bytes()


def test_base_config_differs_in_its_keys_only() -> None:
    """Bearer keys for callers, a key file for the model, workers apart; the rest is the shipped config."""
    shipped = load(SHIPPED / "classifier.toml", {}).config
    ours = load(BASE / "classifier.toml", {}).config
    assert ours.server.auth == "bearer"
    assert ours.endpoints["openai"].api_key_file == "/run/secrets/classifier/openai-api-key"
    openai = structs.replace(
        ours.endpoints["openai"],
        api_key_file=None,
        api_key_env=shipped.endpoints["openai"].api_key_env,
    )
    assert (ours.inbox.workers, ours.inbox.durability) == ("apart", "required")
    again = structs.replace(
        ours, server=shipped.server, endpoints={"openai": openai}, inbox=shipped.inbox
    )
    assert again == shipped


@pytest.mark.parametrize("name", ["demo", "production"])
def test_mounted_config_loads(name: str, tmp_path: Path) -> None:
    """Laid out as the volume lays it out, the ConfigMap is a valid config with all its prompts."""
    objects = overlay(name)
    data = one(objects, "ConfigMap", "classifier-config")["data"]
    spec = pod(objects, "classifier")
    volume = next(each for each in spec["volumes"] if each["name"] == "config")
    for item in volume["configMap"]["items"]:
        file = tmp_path / item["path"]
        file.parent.mkdir(exist_ok=True)
        file.write_text(data[item["key"]], encoding="utf-8")
    loaded = load(tmp_path / "classifier.toml", environment(spec["containers"][0]))
    assert set(loaded.config.paths) >= {"short", "long"}
    assert {item["key"] for item in volume["configMap"]["items"]} == set(data)


@pytest.mark.parametrize(
    ("name", "workload"),
    [
        ("demo", "classifier"),
        ("production", "classifier"),
        ("helpdesks", "classifier"),
        ("helpdesks", "classifier-worker"),
    ],
)
def test_variables_are_known(name: str, workload: str, tmp_path: Path) -> None:
    """The service refuses unknown variables; every one in the manifest is known, every file a key."""
    spec = pod(overlay(name), workload)
    mount = next(m for m in spec["containers"][0]["volumeMounts"] if m["name"] == "secrets")
    variables = environment(spec["containers"][0])
    for variable, value in variables.items():
        if variable.endswith("_FILE"):
            assert value.startswith(mount["mountPath"])
            file = tmp_path / Path(value).name
            file.write_text(VALUES[file.name])
            variables[variable] = str(file)
    assert read_settings(variables).config == "/etc/classifier/classifier.toml"


def test_demo_secret_has_every_file() -> None:
    """The demo starts: each file that a variable names is a key of its Secret."""
    objects = overlay("demo")
    named = environment(pod(objects, "classifier")["containers"][0])
    files = {Path(value).name for name, value in named.items() if name.endswith("_FILE")}
    assert files <= set(one(objects, "Secret", "classifier")["data"])


def test_config_map_keeps_its_name() -> None:
    """An edited label is read by the running pods; a hashed name would restart them instead."""
    for name in ("demo", "production"):
        assert one(overlay(name), "ConfigMap", "classifier-config")
