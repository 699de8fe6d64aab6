"""Answers that should not be remembered, lent or believed, and input that should not cost time."""

from __future__ import annotations

import json
from pathlib import Path
from time import monotonic

from tests.support.house import Service, service
from tests.support.redis_server import RedisServer
from tests.support.upstream import Upstream, completion

SECRET = "a secret of sixteen"


def unsure(label: str) -> dict[str, object]:
    """A label that the model itself gives 30 %."""
    found = completion(label)
    found["choices"][0]["logprobs"]["content"][0]["logprob"] = -1.2
    return found


def limit_lines(config_file: Path, most: int) -> None:
    """Sets the most lines that a batch may have."""
    text = config_file.read_text()
    config_file.write_text(text.replace("[server]", f"[server]\nmax_batch_lines = {most}"))


async def test_unsure_label_is_not_remembered_when_its_escalation_failed(
    house: Service, short_model: Upstream, long_model: Upstream
) -> None:
    """An outage of the long path does not freeze unsure answers for a day."""
    short_model.answers(unsure("login"))
    long_model.answers({"error": {"message": "down"}}, 500)
    assert (await house.classify("same")).json()["label"] == "login"
    long_model.answers(completion("billing"))
    after = (await house.classify("same")).json()
    assert (after["label"], after["source"], after["path"]) == ("billing", "model", "long")


async def test_sure_label_after_an_escalation_is_remembered(
    house: Service, short_model: Upstream, long_model: Upstream
) -> None:
    """What the long path said counts and is cached."""
    short_model.answers(unsure("login"))
    long_model.answers(completion("billing"))
    await house.classify("same")
    assert (await house.classify("same")).json()["source"] == "cache"


async def test_combining_marks_cost_no_time(house: Service) -> None:
    """A ticket of 60,000 alternating combining marks is read at once, not in the square of its length."""
    started = monotonic()
    answer = await house.classify("a" + "\u0301\u0316" * 30_000)
    assert answer.status_code == 200
    assert monotonic() - started < 5  # 12 s and more in quadratic time


async def test_number_of_a_thousand_digits_is_malformed(house: Service) -> None:
    """A header that no integer should be made of is a 400."""
    answer = await house.classify("x", headers={"X-Timeout-Ms": "0" * 5_000 + "100"})
    assert answer.status_code == 400


async def test_batch_of_too_many_lines_ends_with_an_error(config_file: Path) -> None:
    """Lines are bounded in number, so that a batch of line breaks takes no gigabytes."""
    limit_lines(config_file, 3)
    lines = b"\n".join(json.dumps({"body": str(n)}).encode() for n in range(6))
    async with service(config_file) as running:
        answer = await running.client.post(
            "/classify/batch", content=lines, headers={"Content-Type": "application/x-ndjson"}
        )
    found = [json.loads(line) for line in answer.content.splitlines()]
    assert ["label" in line for line in found] == [True, True, True, False]
    assert found[-1]["error"]["status"] == 413


async def test_foreign_label_in_redis_is_not_believed(
    config_file: Path, redis_server: RedisServer
) -> None:
    """Whoever can write to the cache cannot make up a label."""
    environ = {"CLASSIFIER_REDIS_URL": redis_server.url, "CLASSIFIER_CACHE_SECRET": SECRET}
    async with service(config_file, environ) as running:
        await running.classify("charged twice")
    reply = redis_server.command("KEYS", "classifier:1:*").decode().splitlines()
    (key,) = [line for line in reply if line.startswith("classifier:")]
    value = redis_server.command("GET", key).split(b"\r\n")[1].decode()
    redis_server.command("SET", key, value.replace('"billing"', '"made-up"'))
    async with service(config_file, environ) as running:
        answer = (await running.classify("charged twice")).json()
    assert (answer["label"], answer["source"]) == ("billing", "model")
