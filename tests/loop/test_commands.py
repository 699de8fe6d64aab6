"""The loop's commands, as a user runs them."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest

from classifier.config.inbox import Inbox as InboxConfig
from classifier.config.ledger import Ledger as LedgerConfig
from classifier.inbox.queues import Entry
from classifier.inbox.sqlite import SqliteQueues
from classifier.ledger import Ledger
from classifier.loop.running import limits_of
from classifier.metrics import Metrics
from classifier.records import NO_COST, NO_USAGE, Classification, Stages, Ticket
from tests.helpdesks.cases import CASES, SECRET
from tests.loop.test_service import DESK, _ticket_id, looped
from tests.support.commands import Result, called, ended, started
from tests.support.house import write_config
from tests.support.parts import ANSWER
from tests.support.upstream import Upstream

NOWHERE = "http://127.0.0.1:1/v1"


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    """A config with one account, and a folder for its data."""
    config = write_config(tmp_path, NOWHERE, NOWHERE, DESK.format(url="http://127.0.0.1:1"))
    return {
        "CLASSIFIER_CONFIG": str(config), "CLASSIFIER_DATA_DIR": str(tmp_path / "data"),
        "HOOK_SECRET": SECRET, "API_KEY": CASES["chatwoot"].key,
    }  # fmt: skip


@asynccontextmanager
async def _queues(tmp_path: Path) -> AsyncIterator[SqliteQueues]:
    queues = SqliteQueues(tmp_path / "data" / "queues.sqlite", limits_of(InboxConfig()))
    await queues.open()
    try:
        yield queues
    finally:
        await queues.aclose()


async def _bury(tmp_path: Path, *keys: str) -> None:
    async with _queues(tmp_path) as queues:
        await queues.put("outbox", [Entry(key, b"secret text of a ticket") for key in keys])
        for claimed in await queues.claim("outbox", 10):
            await queues.bury(claimed, "exhausted")


async def _dead(tmp_path: Path) -> list[str]:
    async with _queues(tmp_path) as queues:
        return [letter.key for letter in await queues.dead_letters("outbox")]


def test_dead_letters_are_listed_without_their_text_retried_and_dropped(
    tmp_path: Path, environ: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    """`list` shows id, key and reason; `retry` and `drop` do what they say, and say it."""
    asyncio.run(_bury(tmp_path, "desk:e1", "desk:e2", "desk:e3"))
    assert called("inbox", "list", **environ) == 0
    listed = capsys.readouterr().out
    assert "3 dead" in listed
    assert "desk:e2" in listed
    assert "exhausted" in listed
    assert "secret text" not in listed
    assert called("inbox", "retry", "outbox", "1", **environ) == 0
    assert asyncio.run(_dead(tmp_path)) == ["desk:e2", "desk:e3"]
    assert called("inbox", "drop", "outbox", "--all", **environ) == 0
    assert asyncio.run(_dead(tmp_path)) == []


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("inbox", "retry", "outbox"), 2, "name ids, or --all"),
        (("inbox", "retry", "outbox", "99"), 1, "no dead letter 99"),
        (("ledger", "export"), 2, "there is no ledger at"),
        (("connect", "remedy"), 2, "there is no vendor 'remedy'"),
        (("connect", "zendesk", "--test"), 2, "no [[helpdesks]] entry 'zendesk'"),
    ],
)
def test_what_cannot_be_done_is_said(
    arguments: tuple[str, ...],
    code: int,
    words: str,
    environ: dict[str, str],
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A wrong call ends with its exit code and a sentence that says what to do."""
    assert called(*arguments, **environ) == code
    assert words in capsys.readouterr().err


@pytest.mark.parametrize("vendor", sorted(CASES))
def test_connect_prints_everything_to_paste(
    vendor: str, environ: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    """The steps name the address, and the printed entry is a valid one for the config file."""
    assert called("connect", vendor, "--service", "https://tc.example.com", **environ) == 0
    printed = capsys.readouterr().out
    assert f"URL: https://tc.example.com/webhooks/{vendor}" in printed
    entry = printed.partition("In the config file:\n")[2].partition("\nNot confirmed")[0]
    assert msgspec.toml.decode(entry)["helpdesks"][0]["vendor"] == vendor


async def _line(folder: Path, *, correct: bool) -> None:
    ledger = Ledger(folder / "ledger.sqlite", LedgerConfig(), Metrics().helpdesks)
    await ledger.open()
    if correct:
        await ledger.corrected("desk", "t1", "login")
    else:
        done = Classification("t1", ANSWER, "model", NO_USAGE, NO_COST, Stages(0.1), "all")
        ledger.classified(Ticket(body="x"), done, "desk")
    await ledger.aclose()


def test_an_export_of_several_replicas_joins_corrections_to_predictions(
    tmp_path: Path, environ: dict[str, str]
) -> None:
    """A correction that one replica wrote finds what another had predicted."""
    for name, correct in (("a", False), ("b", True)):
        asyncio.run(_line(tmp_path / name, correct=correct))
    files = [tmp_path / name / "ledger.sqlite" for name in ("a", "b")]
    with started("ledger", "export", *files, **environ) as process:
        found = ended(process)
    assert found.code == 0, found.err
    first, second = found.answers
    assert (first["type"], second["type"]) == ("classification", "correction")
    assert second["predicted"]["label"] == first["label"]


async def test_connect_test_shows_what_became_of_a_sample(
    tmp_path: Path, short_model: Upstream, long_model: Upstream
) -> None:
    """The signed sample reaches the running service, is classified, and its write-back is shown."""
    async with looped(tmp_path, short_model, long_model) as (house, fake, desk):
        fake.ticket(_ticket_id(desk))
        environ = {
            "CLASSIFIER_CONFIG": str(tmp_path / "classifier.toml"), "HOOK_SECRET": SECRET,
            "API_KEY": CASES["chatwoot"].key,
        }  # fmt: skip
        found = await asyncio.to_thread(_connect, house.url, environ)
    assert found.code == 0, found.err
    assert "200 in" in found.out
    assert 'classifier_webhook_deliveries_total{account="chatwoot",outcome="accepted"}' in found.out
    assert 'classifier_write_backs_total{account="chatwoot",status="written"}' in found.out


def _connect(url: str, environ: dict[str, str]) -> Result:
    with started("connect", "chatwoot", "--test", "--service", url, **environ) as process:
        return ended(process)


def test_a_folder_that_is_none_is_said(environ: dict[str, str]) -> None:
    """Queues that cannot be opened end the command with 1, not with a traceback."""
    Path(environ["CLASSIFIER_DATA_DIR"]).write_text("a file")
    assert called("inbox", "list", **environ) == 1


def test_queues_are_ordinary_sqlite(tmp_path: Path) -> None:
    """An operator can look into the file with any SQLite while it is in use."""
    asyncio.run(_bury(tmp_path, "desk:e1"))
    with sqlite3.connect(tmp_path / "data" / "queues.sqlite") as other:
        assert other.execute("SELECT count(*) FROM entries").fetchone() == (1,)
    other.close()
