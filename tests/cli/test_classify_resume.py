"""An interrupted run goes on where it stopped: nobody is asked, or paid, twice."""

from __future__ import annotations

import json
import signal
import subprocess
from pathlib import Path

import pytest

from tests.support.commands import (
    Command,
    ended,
    environment,
    numbered,
    rows_of,
    started,
    wait_until,
    write_tickets,
)
from tests.support.upstream import Call, Scripted, Upstream, completion


@pytest.fixture
def tickets(tmp_path: Path) -> Path:
    """Twelve different tickets."""
    return write_tickets(tmp_path / "in.jsonl", *numbered(12))


@pytest.fixture
def output(tmp_path: Path) -> Path:
    """Where the answers go."""
    return tmp_path / "out.jsonl"


def lines_in(file: Path) -> int:
    """How many answers a run has written so far."""
    return file.read_bytes().count(b"\n") if file.exists() else 0


def refuse(upstream: Upstream, words: str) -> None:
    """The model breaks on tickets with these words; others are `billing`."""

    async def respond(call: Call) -> Scripted:
        return Scripted(completion("billing"), status=500 if call.ticket.endswith(words) else 200)

    upstream.respond = respond


def test_ctrl_c_finishes_what_is_in_flight(
    classify: Command, config: Path, tickets: Path, output: Path, short: Upstream
) -> None:
    """After ctrl-c every call that was made has its answer in the file, and the next run asks the rest."""
    short.delay_s = 0.3
    options = ("--config", config, tickets, "-o", output, "--concurrency", "3")
    with started("classify", *options) as process:
        wait_until(lambda: lines_in(output) >= 3)
        process.send_signal(signal.SIGINT)
        result = ended(process)
    assert result.code == 130
    assert "interrupted: run the same command again to go on" in result.err
    assert "tickets answered, 0 failed" in result.err
    asked = len(short.calls)
    assert 3 <= asked < 12
    assert len(rows_of(output)) == asked
    short.delay_s = 0.0
    again = classify(tickets, "-o", output)
    assert again.code == 0
    assert "12 tickets answered, 0 failed" in again.err
    assert len(short.calls) == 12
    assert sorted(row["row"] for row in rows_of(output)) == list(range(1, 13))


def test_second_ctrl_c_ends_at_once(
    config: Path, tickets: Path, output: Path, short: Upstream
) -> None:
    """Whoever does not want to wait for a slow model presses twice; no traceback then either."""
    short.delay_s = 20.0
    with started("classify", "--config", config, tickets, "-o", output) as process:
        wait_until(lambda: len(short.calls) == 8)
        process.send_signal(signal.SIGINT)
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.3)
        process.send_signal(signal.SIGINT)
        result = ended(process, within_s=5.0)  # the tickets' own time budget is 8 s
    assert result.code == 130
    assert "Traceback" not in result.err


@pytest.mark.parametrize("cut", [1, 2, 300])
def test_torn_line_is_asked_again(
    cut: int, classify: Command, tickets: Path, output: Path, short: Upstream
) -> None:
    """Wherever kill -9 or a full disk cuts a line off, the file ends complete; nothing is paid twice."""
    classify(tickets, "-o", output, "--limit", "5", "--concurrency", "1")
    whole = output.read_bytes()
    output.write_bytes(whole[:-cut])
    assert classify(tickets, "-o", output, "--limit", "5").code == 0
    assert [row["row"] for row in rows_of(output)] == [1, 2, 3, 4, 5]
    assert output.read_bytes().startswith(b"\n".join(whole.split(b"\n")[:4]) + b"\n")
    assert len(short.calls) == 5 + (cut > 1)  # cut by one: only the line break is missing


def test_failed_tickets_are_asked_again(
    classify: Command, tickets: Path, output: Path, short: Upstream, long: Upstream
) -> None:
    """A failure stands in the file until a later run has the answer; only it is asked."""
    for model in (short, long):
        refuse(model, "number 7")
    first = classify(tickets, "-o", output)
    assert first.code == 1
    assert "failed 1 times: No path answered" in first.err
    (failure,) = (row for row in rows_of(output) if "error" in row)
    assert (failure["id"], failure["row"], failure["error"]["status"]) == ("t7", 7, 503)
    asked = len(short.calls)
    refuse(short, "nothing")
    assert classify(tickets, "-o", output).code == 0
    assert [call.ticket for call in short.calls[asked:]] == ["ticket number 7"]
    assert sorted(row["row"] for row in rows_of(output)) == list(range(1, 13))
    assert all("label" in row for row in rows_of(output))


def test_finished_run_asks_nobody(
    classify: Command, tickets: Path, output: Path, short: Upstream
) -> None:
    """Run again after the end, the command shows the same sums and costs nothing."""
    first = classify(tickets, "-o", output)
    content = output.read_bytes()
    again = classify(tickets, "-o", output)
    assert len(short.calls) == 12
    assert output.read_bytes() == content
    assert again.err.splitlines()[-1] == first.err.splitlines()[-1]


def test_repeated_ids_are_told_apart(
    classify: Command, tmp_path: Path, output: Path, short: Upstream, long: Upstream
) -> None:
    """The second message of a case is not taken for the first: the row decides, not the id alone."""
    case = [{"id": "case-1", "body": text, "label": "billing"} for text in ("one", "two", "three")]
    file = write_tickets(tmp_path / "in.jsonl", *case)
    for model in (short, long):
        refuse(model, "one")
    assert classify(file, "-o", output, "--concurrency", "1").code == 1
    asked = len(short.calls)
    refuse(short, "nothing")
    again = classify(file, "-o", output)
    assert [call.ticket for call in short.calls[asked:]] == ["one"]
    assert sorted(row["row"] for row in rows_of(output)) == [1, 2, 3]
    assert "labels right: 3 of 3 held-out tickets" in again.err


def test_appended_tickets_are_asked_alone(
    classify: Command, tickets: Path, output: Path, short: Upstream
) -> None:
    """An input that has grown costs what is new in it."""
    classify(tickets, "-o", output)
    write_tickets(tickets, *numbered(14))
    classify(tickets, "-o", output)
    assert len(short.calls) == 14
    assert len(rows_of(output)) == 14


def test_answers_to_another_input_are_refused(
    classify: Command, tickets: Path, output: Path, short: Upstream
) -> None:
    """A sorted or filtered input must not inherit the answers of other tickets."""
    classify(tickets, "-o", output, "--limit", "2")
    write_tickets(tickets, *reversed(numbered(12)))
    result = classify(tickets, "-o", output)
    assert result.code == 2
    assert "holds answers to another input: its row 1 is 't1', here it is 't12'" in result.err
    assert len(short.calls) == 2
    assert len(rows_of(output)) == 2


def test_fresh_starts_over(classify: Command, tickets: Path, output: Path, short: Upstream) -> None:
    """`--fresh` asks everything again and keeps nothing."""
    classify(tickets, "-o", output, "--no-cache")
    classify(tickets, "-o", output, "--no-cache", "--fresh")
    assert len(short.calls) == 24
    assert len(rows_of(output)) == 12


@pytest.mark.parametrize("broken", ["input", "key", "path"])
def test_answers_survive_a_fresh_run_that_cannot_begin(
    broken: str, classify: Command, config: Path, tickets: Path, output: Path
) -> None:
    """Answers are only thrown away when there is something to put in their place."""
    classify(tickets, "-o", output)
    before = output.read_bytes()
    if broken == "key":
        text = config.read_text().replace("[endpoints.slow]", '[endpoints.slow]\napi_key_env = "K"')
        config.write_text(text)
    source = tickets.with_name("missing") if broken == "input" else tickets
    wish = ("--path", "nowhere") if broken == "path" else ()
    assert classify(source, "-o", output, "--fresh", *wish).code == 2
    assert output.read_bytes() == before


@pytest.mark.parametrize("fresh", [[], ["--fresh"]])
def test_input_is_never_overwritten(
    fresh: list[str], classify: Command, tickets: Path, short: Upstream
) -> None:
    """A slip in the output's name does not cost the tickets."""
    before = tickets.read_bytes()
    result = classify(tickets, "-o", tickets, *fresh)
    assert result.code == 2
    assert "is the input; choose another --output" in result.err
    assert tickets.read_bytes() == before
    assert short.calls == []


@pytest.mark.parametrize(
    "content", [b"dear diary\n", b'{"id": "1", "body": "no answer"}', b'{"answers": 7}\n']
)
def test_foreign_files_are_left_alone(
    content: bytes, classify: Command, tickets: Path, output: Path, short: Upstream
) -> None:
    """A file that this command has not written is not emptied."""
    output.write_bytes(content)
    result = classify(tickets, "-o", output)
    assert result.code == 2
    assert f"{output}:1 is no answer of this command, so the file is left as it is" in result.err
    assert output.read_bytes() == content
    assert [file.name for file in output.parent.glob("out.*")] == ["out.jsonl"]
    assert short.calls == []


def test_devices_are_written_to(classify: Command, tickets: Path) -> None:
    """`-o /dev/null` throws answers away, not the device."""
    assert classify(tickets, "-o", "/dev/null").code == 0
    assert Path("/dev/null").is_char_device()


def test_output_keeps_its_place_and_mode(classify: Command, tickets: Path, output: Path) -> None:
    """Going on replaces neither a link nor who may read the answers."""
    output.touch(mode=0o600)
    link = output.with_name("link.jsonl")
    link.symlink_to(output)
    for limit in ("2", "4"):
        classify(tickets, "-o", link, "--limit", limit)
    assert link.is_symlink()
    assert output.stat().st_mode & 0o777 == 0o600
    assert len(rows_of(output)) == 4


def test_stream_is_answered_as_it_comes(config: Path, short: Upstream) -> None:
    """A pipe that stays open gets its answers at once, and ctrl-c ends the waiting for more."""
    with started("classify", "--config", config, "-") as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for number in (1, 2):
            process.stdin.write(json.dumps({"body": f"number {number}"}) + "\n")
            process.stdin.flush()
            answer = json.loads(process.stdout.readline())
            assert (answer["row"], answer["label"]) == (number, "billing")
        process.send_signal(signal.SIGINT)
        result = ended(process)
    assert result.code == 130
    assert result.out == ""
    assert "interrupted; with --output FILE a run can go on where it stopped" in result.err
    assert len(short.calls) == 2


def test_closed_pipe_is_one_line(config: Path, tickets: Path) -> None:
    """`classifier classify … | head` ends with a word, not with a traceback."""
    with started("classify", "--config", config, tickets, "--concurrency", "1") as process:
        assert process.stdout is not None
        process.stdout.close()
        process.stdout = None
        code, err = process.wait(10), process.stderr.read() if process.stderr else ""
    assert code == 2
    assert err == "classifier: standard output: Broken pipe\n"


def test_environment_of_the_machine_is_kept_out() -> None:
    """The tests see no settings but their own."""
    found = {name for name in environment(CLASSIFIER_PORT="1") if "CLASSIFIER" in name}
    assert found == {"CLASSIFIER_PORT", "CLASSIFIER_DRAIN_S"}
