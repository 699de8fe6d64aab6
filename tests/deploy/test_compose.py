"""compose.yaml: one command, and nothing in it that its own words contradict."""

from __future__ import annotations

import copy
import re
from typing import Any

import pytest
import yaml
from compose_spec import PyCompose

from classifier.config.load import SHIPPED, load
from classifier.settings import Settings, read_settings
from tests.deploy.manifests import K8S, ROOT, finishing_s, one, overlay

COMPOSE = yaml.safe_load((ROOT / "compose.yaml").read_text(encoding="utf-8"))
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]


def checked(compose: dict[str, Any]) -> None:
    """Raises ValueError for what the specification lacks; YAML's merge keys are resolved before."""
    PyCompose.from_yaml(yaml.safe_dump(compose)).validate()


def filled(variables: dict[str, str]) -> dict[str, str]:
    """The variables as compose fills them in when the shell has none of its own."""
    return {name: re.sub(r"\$\{\w+:-(.*?)\}", r"\1", value) for name, value in variables.items()}


def test_compose_follows_its_specification() -> None:
    """Every key and value is one that the Compose Specification has."""
    checked(COMPOSE)


def test_specification_refuses_misspelt_key() -> None:
    """The check above sees a typo."""
    wrong = copy.deepcopy(COMPOSE)
    wrong["services"]["redis"]["cap_dorp"] = ["ALL"]
    with pytest.raises(ValueError, match="cap_dorp"):
        checked(wrong)


def test_mounted_files_exist() -> None:
    """Docker makes an empty folder out of a mounted file that is not there."""
    sources = [
        volume.split(":")[0] for each in SERVICES.values() for volume in each.get("volumes", [])
    ]
    files = [source for source in sources if source.startswith("./")]
    assert [source for source in files if not (ROOT / source).exists()] == []
    assert {source for source in sources if not source.startswith("./")} == set(COMPOSE["volumes"])


def test_containers_are_hardened() -> None:
    """As in the cluster: read-only, no capabilities, no new privileges."""
    for name, each in SERVICES.items():
        assert each["read_only"] is True, name
        assert each["cap_drop"] == ["ALL"], name
        assert each["security_opt"] == ["no-new-privileges:true"], name


def test_ports_are_open_on_this_machine_only() -> None:
    """A laptop in a café publishes nothing."""
    published = [port for each in SERVICES.values() for port in each.get("ports", [])]
    assert published
    assert all(port.startswith("127.0.0.1:") for port in published)


def test_dependencies_start_in_the_same_profiles() -> None:
    """A profile never asks for a container that it does not start."""
    for name, each in SERVICES.items():
        for needed in each.get("depends_on", []):
            assert needed in SERVICES, name
            profiles = SERVICES[needed].get("profiles")
            assert profiles is None or set(each["profiles"]) & {*profiles, "load"}, name


@pytest.mark.parametrize(
    ("name", "config"), [("classifier", "demo"), ("classifier-openai", "classifier")]
)
def test_service_takes_its_variables(name: str, config: str) -> None:
    """Every variable is known, and the config that is mounted is valid with them."""
    variables = filled(SERVICES[name]["environment"])
    settings = read_settings(variables)
    assert settings.config == f"/etc/classifier/{config}.toml"
    assert load(SHIPPED / f"{config}.toml", variables).config.paths


def test_drain_fits_into_the_stop() -> None:
    """`docker compose stop` kills only after serve has drained."""
    assert int(SERVICES["classifier"]["stop_grace_period"].rstrip("s")) > (
        Settings().drain_s + finishing_s(SHIPPED / "classifier.toml") + 10
    )


def test_same_redis_as_in_the_cluster() -> None:
    """Image, append-only file and eviction are those of k8s/components/redis."""
    command = " ".join(SERVICES["redis"]["command"])
    for setting in ("--appendonly yes", "--maxmemory 192mb", "--maxmemory-policy allkeys-lfu"):
        assert setting in command
    container = one(overlay("demo"), "StatefulSet", "redis")["spec"]["template"]["spec"][
        "containers"
    ][0]
    assert SERVICES["redis"]["image"] == container["image"]


def test_data_outlives_the_container() -> None:
    """Ledger and inbox lie on a named volume, where the image has a folder of the service's user."""
    for name in ("classifier", "classifier-openai"):
        folder = SERVICES[name]["environment"]["CLASSIFIER_DATA_DIR"]
        assert f"data:{folder}" in SERVICES[name]["volumes"]
        made = f"install -d -o 10001 -g 10001 -m 0700 {folder}\n"
        assert made in (ROOT / "Dockerfile").read_text(encoding="utf-8")


def test_images_say_which_version() -> None:
    """`latest` is another program tomorrow."""
    tags = [each["image"].partition(":")[2] for each in SERVICES.values()]
    assert all(tag and tag != "latest" for tag in tags)
    assert (K8S / "monitoring" / "prometheus.yml").exists()
