from __future__ import annotations

import httpx2
import openai
import pytest

CHAT = {"model": "ft:a", "messages": [{"role": "user", "content": "Where is my parcel?"}]}


async def chat(http: httpx2.AsyncClient, model: str = "ft:a", **headers: str) -> httpx2.Response:
    """One completion."""
    return await http.post("/v1/chat/completions", json=CHAT | {"model": model}, headers=headers)


async def rule(http: httpx2.AsyncClient, **fields: object) -> httpx2.Response:
    """Adds a fault rule."""
    return await http.post("/simulator/faults", json=fields)


async def test_stats_add_up(http: httpx2.AsyncClient) -> None:
    """Calls and tokens are summed by model and endpoint, as the answers reported them."""
    usages = [(await chat(http)).json()["usage"] for _ in range(3)]
    await chat(http, "gpt-6-luna")
    calls = {one["model"]: one for one in (await http.get("/simulator/stats")).json()["calls"]}
    assert calls["ft:a"]["endpoint"] == "chat"
    assert calls["ft:a"]["totals"] == {
        "calls": 3,
        "input_tokens": sum(usage["prompt_tokens"] for usage in usages),
        "cached_input_tokens": 0,
        "cache_write_tokens": 0,
        "output_tokens": sum(usage["completion_tokens"] for usage in usages),
    }
    assert calls["gpt-6-luna"]["totals"]["calls"] == 1


async def test_reset_forgets(http: httpx2.AsyncClient) -> None:
    """After a reset nothing is counted."""
    await chat(http)
    await http.post("/simulator/reset")
    report = (await http.get("/simulator/stats")).json()
    assert (report["calls"], report["faults"]) == ([], {})


async def test_rule_hits_its_model_and_count(http: httpx2.AsyncClient) -> None:
    """A rule serves its fault to the models that fit, as often as it says, then is gone."""
    await rule(http, fault="rate_limited", model="ft:*", count=2, retry_after_s=1.5)
    seen = [await chat(http, model) for model in ("gpt-6-luna", "ft:a", "ft:b", "ft:a")]
    assert [one.status_code for one in seen] == [200, 429, 429, 200]
    assert seen[1].headers["retry-after"] == "1.5"
    assert (await http.get("/simulator/faults")).json() == {"rules": []}
    assert (await http.get("/simulator/stats")).json()["faults"] == {"rate_limited": 2}


async def test_share_of_none_and_all(http: httpx2.AsyncClient) -> None:
    """A share of 0 never hits, a share of 1 always."""
    await rule(http, fault="quota", share=0.0)
    assert (await chat(http)).status_code == 200
    await rule(http, fault="overloaded", share=1.0)
    assert (await chat(http)).status_code == 503


async def test_clearing_ends_the_faults(http: httpx2.AsyncClient) -> None:
    """Without rules there are no faults."""
    await rule(http, fault="server_error")
    assert (await chat(http)).status_code == 500
    await http.delete("/simulator/faults")
    assert (await chat(http)).status_code == 200


async def test_a_requests_own_fault_comes_first(http: httpx2.AsyncClient) -> None:
    """The header beats the rules and leaves their counts alone."""
    await rule(http, fault="server_error", count=1)
    assert (await chat(http, **{"x-simulate-fault": "quota"})).status_code == 429
    assert (await chat(http)).status_code == 500


async def test_delay_is_part_of_the_time(http: httpx2.AsyncClient) -> None:
    """A fault's delay shows in the reported processing time."""
    await rule(http, fault="slow", delay_s=0.02)
    assert (await chat(http)).headers["openai-processing-ms"] == "20"
    await http.delete("/simulator/faults")
    await rule(http, fault="overloaded", delay_s=0.02)
    assert (await chat(http)).headers["openai-processing-ms"] == "20"


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ({"fault": "rate_limit"}, "rate_limited, quota"),
        ({}, "there are: "),
        ([], "object"),
        ({"fault": "quota", "share": 2}, "share"),
        ({"fault": "quota", "count": 0}, "count"),
        ({"fault": "quota", "mdoel": "x"}, "mdoel"),
    ],
)
async def test_wrong_rules_are_refused(http: httpx2.AsyncClient, body: object, says: str) -> None:
    """A rule that cannot be served says why, and does not come into force."""
    response = await http.post("/simulator/faults", json=body)
    assert response.status_code == 422
    assert says in response.json()["error"]["message"]
    assert (await http.get("/simulator/faults")).json() == {"rules": []}


async def test_unknown_fault_in_the_header(sdk: openai.AsyncOpenAI) -> None:
    """A misspelt fault is an error with all names, never a good answer."""
    with pytest.raises(openai.UnprocessableEntityError, match="rate_limited"):
        await sdk.chat.completions.create(
            model="ft:a",
            messages=[{"role": "user", "content": "x"}],
            extra_headers={"x-simulate-fault": "rate-limited"},
        )
