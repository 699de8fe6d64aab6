"""Edited files go live in seconds without a restart; an invalid edit changes nothing but a metric."""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from classifier.assembly import Assembly
from classifier.config.load import load
from classifier.errors import ConfigError
from classifier.paths.pool import EndpointPool
from classifier.reload import Reloader
from tests.support.house import Service, service, write_config
from tests.support.logged import logged
from tests.support.process import ServiceProcess, serving
from tests.support.upstream import Call, Scripted, Upstream, completion, served
from tests.support.waiting import eventually

PATIENCE_S = 6.0  # for what is not itself a promise about time, on a busy machine


def _edit(file: Path, old: str, new: str) -> str:
    """Replaces text in a file and returns what stood there before."""
    text = file.read_text()
    assert old in text
    _write(file, text.replace(old, new))
    return text


def _write(file: Path, text: str) -> None:
    file.write_text(text)


def _delete(file: Path) -> str:
    text = file.read_text()
    file.unlink()
    return text


async def _reloads(
    house: Service, outcome: str, count: int = 1, within_s: float = PATIENCE_S
) -> None:
    async def counted() -> bool:
        found = await house.metric("classifier_config_reloads_total", outcome=outcome)
        return found == count

    await eventually(counted, within_s)


async def _classify(house: Service, body: str) -> dict[str, Any]:
    answer = await house.classify(body)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def test_edited_taxonomy_is_live_within_two_seconds(
    house: Service, config_file: Path, short_model: Upstream
) -> None:
    """A new label is in the prompt and accepted from the model two seconds after the edit."""
    before = await _classify(house, "money back")
    short_model.answers(completion("refund"))
    refund = '{ name = "login", description'
    _edit(config_file, refund, '{ name = "refund" },\n  ' + refund)

    async def labelled() -> bool:
        return bool((await _classify(house, "money back"))["label"] == "refund")

    await eventually(labelled, within_s=2.0)
    after = await _classify(house, "money back")
    assert after["taxonomy"] != before["taxonomy"]
    assert "billing, refund, login, other" in short_model.calls[-1].body["messages"][0]["content"]
    assert await house.metric("classifier_config_reloads_total", outcome="live") == 1
    assert len([s for s in await house.metrics() if s.startswith("classifier_config_info")]) == 1


async def test_cache_of_an_old_version_is_not_answered(
    house: Service, config_file: Path, short_model: Upstream
) -> None:
    """A ticket that was answered under an older prompt asks the model again, with the new one."""
    first = await _classify(house, "seen before")
    _edit(config_file.parent / "short.txt", "Answer one of", "Say one of")
    await _reloads(house, "live")
    second = await _classify(house, "seen before")
    assert (first["source"], second["source"]) == ("model", "model")
    assert first["prompt"] != second["prompt"]
    assert short_model.calls[-1].body["messages"][0]["content"].startswith("Say one of: billing")


async def test_edited_config_is_live(house: Service, config_file: Path) -> None:
    """A new route, price and claim count from the next ticket on; what they leave alone stays cached."""
    assert (await _classify(house, "a"))["cost_usd"] == "0.0000324"
    _edit(config_file, "input = 0.30", "input = 0.60")
    _edit(config_file, "latency_s = { short = 0.1", "latency_s = { short = 0.2")
    route = '[[routes]]\nname = "urgent"\npath = "long"\nwhen = { tags = ["urgent"] }\n'
    _edit(config_file, "[claims]", f"{route}\n[claims]")
    await _reloads(house, "live")
    assert (await _classify(house, "a"))["source"] == "cache"
    assert (await _classify(house, "b"))["cost_usd"] == "0.0000624"
    urgent = await house.client.post("/classify", json={"body": "c", "tags": ["urgent"]})
    assert urgent.json()["path"] == "long"
    assert await house.metric("classifier_claim_seconds", path="short") == 0.2


@pytest.fixture
async def patient_house(config_file: Path) -> AsyncIterator[Service]:
    """The service with paths that wait for their model longer than a reload takes."""
    _edit(config_file, "timeout_s = 1.0", "timeout_s = 9.0")
    async with service(config_file) as running:
        yield running


async def test_ticket_under_way_ends_on_its_version(
    patient_house: Service, config_file: Path, short_model: Upstream
) -> None:
    """A ticket that began before the edit is answered with the labels that it was asked with."""
    release = asyncio.Event()

    async def respond(call: Call) -> Scripted:
        if call is short_model.calls[0]:
            await release.wait()
            return Scripted(completion("billing"))
        return Scripted(completion("invoices"))

    short_model.respond = respond
    slow = asyncio.create_task(_classify(patient_house, "slow"))
    await eventually(lambda: len(short_model.calls) == 1)
    _edit(config_file, 'name = "billing"', 'name = "invoices"')
    await _reloads(patient_house, "live")
    new = await _classify(patient_house, "new")
    release.set()
    old = await slow
    assert (old["label"], new["label"]) == ("billing", "invoices")
    assert old["taxonomy"] != new["taxonomy"]
    again = await _classify(patient_house, "slow")  # the old answer is cached for the old version
    assert (again["label"], again["source"]) == ("invoices", "model")


INVALID = {
    "unknown_key": ("static_tokens = 60", "static_tokns = 60", "did you mean 'static_tokens'?"),
    "prompt_with_nul": ('prompt = "short.txt"', 'prompt = "a\\u0000b"', ""),
    "nested_too_deep": ("[claims]", f"[claims]\nx = {'[' * 20_000}", ""),
}


@pytest.mark.parametrize(("old", "new", "reason"), INVALID.values(), ids=INVALID)
async def test_invalid_edit_keeps_the_old_config(
    house: Service, config_file: Path, old: str, new: str, reason: str
) -> None:
    """What cannot be read changes no answer, says why and shows in a metric, until it is mended."""
    before = await _classify(house, "x")
    with logged() as log:
        text = _edit(config_file, old, new)
        await _reloads(house, "refused")
    assert '"event":"config.refused"' in log.getvalue()
    assert reason in log.getvalue()
    assert await house.metric("classifier_config_valid") == 0
    after = await _classify(house, "y")
    assert (after["taxonomy"], after["prompt"]) == (before["taxonomy"], before["prompt"])
    ready = await house.client.get("/readyz")
    assert (ready.status_code, ready.json()["config"]) == (
        200, "the file is refused; an older one is live",
    )  # fmt: skip
    _write(config_file, text)
    await _reloads(house, "unchanged")
    assert await house.metric("classifier_config_valid") == 1
    assert (await house.client.get("/readyz")).json()["config"] == "live"


async def test_deleted_file_is_refused_not_fatal(house: Service, config_file: Path) -> None:
    """A file that is gone for a moment costs nothing; when it is back, so is the reload."""
    with logged() as log:
        text = _delete(config_file)
        await _reloads(house, "refused")
    assert "classifier.toml does not exist" in log.getvalue()
    assert (await _classify(house, "x"))["label"] == "billing"
    _write(config_file, text.replace("input = 0.30", "input = 0.60"))
    await _reloads(house, "live")
    assert (await _classify(house, "y"))["cost_usd"] == "0.0000624"


async def test_missing_prompt_may_come_later(house: Service, config_file: Path) -> None:
    """A config whose prompt is not there yet goes live when it is; meanwhile it is refused once."""
    with logged() as log:
        _edit(config_file, 'prompt = "short.txt"', 'prompt = "later.txt"')
        await _reloads(house, "refused")
        (config_file.parent / "later.txt").write_text(
            "One of: $label_names\n=== ticket ===\n$ticket"
        )
        await _reloads(house, "live")
    assert log.getvalue().count('"event":"config.refused"') == 1
    assert (await _classify(house, "x"))["prompt"].startswith("later.txt@")


async def test_retry_that_fails_alike_is_no_news(config_file: Path) -> None:
    """A refused file is tried again and again, but said to be refused once per reason and edit."""
    assembly = Assembly(load(config_file, {}), EndpointPool({}).open)
    reasons = ["gone", "gone", "gone", "broken", "broken"]
    reports: list[str] = []

    def build() -> Assembly:
        raise ConfigError(reasons.pop(0))

    async def swap(_: Assembly) -> None:
        raise AssertionError("nothing was built")

    reloader = Reloader(assembly, build, swap, reports.append)
    with logged() as log:
        for quiet in (False, True, True, True, False):
            await reloader.reload(quiet=quiet)
    said = [json.loads(line)["reason"] for line in log.getvalue().splitlines()]
    assert said == ["gone", "broken", "broken"]
    assert reports == ["refused"] * 3


async def test_no_error_ends_the_watch(config_file: Path) -> None:
    """An error that nobody foresaw refuses the file by its class, and leaves the watch running."""

    def build() -> Assembly:
        raise RecursionError("in the middle of somebody's key: sk-secret")

    async def swap(_: Assembly) -> None:
        raise AssertionError("nothing was built")

    reports: list[str] = []
    loaded = Assembly(load(config_file, {}), EndpointPool({}).open)
    with logged() as log:
        await Reloader(loaded, build, swap, reports.append).reload()
    assert reports == ["refused"]
    assert json.loads(log.getvalue())["reason"] == "unexpected RecursionError"


async def test_swapped_config_map_is_live(
    tmp_path: Path, short_model: Upstream, long_model: Upstream
) -> None:
    """A ConfigMap is exchanged by turning one symbolic link; that counts as an edit."""
    for version, share in (("v1", "0.10"), ("v2", "0.20")):
        (tmp_path / version).mkdir()
        config = write_config(tmp_path / version, short_model.url, long_model.url)
        _edit(config, "short = 0.1,", f"short = {share},")
    (tmp_path / "data").symlink_to("v1")
    for name in ("classifier.toml", "short.txt", "long.txt"):
        (tmp_path / name).symlink_to(Path("data") / name)
    async with service(tmp_path / "classifier.toml") as house:
        assert await house.metric("classifier_claim_seconds", path="short") == 0.1
        (tmp_path / "new").symlink_to("v2")
        (tmp_path / "new").rename(tmp_path / "data")
        await _reloads(house, "live")
        assert await house.metric("classifier_claim_seconds", path="short") == 0.2


async def test_changed_endpoint_opens_a_new_client(
    patient_house: Service, config_file: Path, short_model: Upstream
) -> None:
    """New tickets go to the new server; one that waits for the old server still gets its answer."""
    release = asyncio.Event()

    async def respond(call: Call) -> Scripted:
        await release.wait()
        return Scripted(completion("billing"))

    short_model.respond = respond
    waiting = asyncio.create_task(_classify(patient_house, "on the old server"))
    await eventually(lambda: len(short_model.calls) == 1)
    other = Upstream()
    other.answers(completion("login"))
    async with served(other, other.port):
        _edit(config_file, short_model.url, other.url)
        await _reloads(patient_house, "live")
        assert (await _classify(patient_house, "on the new server"))["label"] == "login"
        release.set()
        assert (await waiting)["label"] == "billing"
    assert (len(short_model.calls), len(other.calls)) == (1, 1)


async def test_rotated_key_is_used(
    tmp_path: Path, short_model: Upstream, long_model: Upstream
) -> None:
    """A mounted key that changes is the key of the next call, and is never logged."""
    key = tmp_path / "key"
    key.write_text("sk-old-key\n")
    config = write_config(tmp_path, short_model.url, long_model.url)
    _edit(config, "[endpoints.fast]", f'[endpoints.fast]\napi_key_file = "{key}"')
    with logged() as log:
        async with service(config) as house:
            await _classify(house, "a")
            key.write_text("sk-new-key\n")
            await _reloads(house, "unchanged")
            await _classify(house, "b")
    sent = [call.headers["authorization"] for call in short_model.calls]
    assert sent == ["Bearer sk-old-key", "Bearer sk-new-key"]
    assert "sk-" not in log.getvalue()


async def test_removed_path_leaves_the_metrics(house: Service, config_file: Path) -> None:
    """A path that is gone is neither up nor down nor priced: it must not alert for ever."""
    await _classify(house, "x")
    text = _delete(config_file)
    start, end = text.index("[paths.short]"), text.index("[paths.long]")
    _write(config_file, (text[:start] + text[end:]).replace("short = 0.1, ", ""))
    await _reloads(house, "live")
    states = [
        sample
        for sample in await house.metrics()
        if sample.startswith(("classifier_path_", "classifier_simulated")) and "short" in sample
    ]
    assert states == []
    assert (await _classify(house, "x"))["path"] == "long"


async def test_sighup_reloads_at_once(
    tmp_path: Path, short_model: Upstream, long_model: Upstream
) -> None:
    """SIGHUP reads everything again, changed or not; SIGTERM ends with exit code 0."""
    config = write_config(tmp_path, short_model.url, long_model.url)

    def reloaded(process: ServiceProcess) -> bool:
        return bool(process.events("config.reloaded"))

    async with serving(config, tmp_path) as process:
        process.signal(signal.SIGHUP)
        await eventually(lambda: reloaded(process), within_s=2.0)
        assert process.events("config.reloaded")[0]["outcome"] == "unchanged"
        answer = await process.client.post("/classify", json={"body": "x"})
        assert answer.json()["label"] == "billing"
        assert await process.stop() == 0
    assert [event["ready"] for event in process.events("service.ready")] == [True]
