"""Starting and ending of what a load test runs against."""

from __future__ import annotations

import signal
import threading

import pytest

from loadtests.house import undisturbed


class Ended(Exception):
    """What `dev load` does when it is asked to end."""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda n: n.name)
def test_end_waits_for_the_start(number: signal.Signals) -> None:
    """A signal during a child's start is heard, but after it: the clean-up code knows the child."""
    steps: list[str] = []

    def end(_number: int, _frame: object) -> None:
        raise Ended

    before = signal.signal(number, end)
    try:
        with pytest.raises(Ended), undisturbed():  # noqa: PT012 -- the signal is the test
            signal.raise_signal(number)
            steps.append("started")
        assert steps == ["started"]
        assert signal.getsignal(number) is end
    finally:
        signal.signal(number, before)


def test_other_threads_are_let_be() -> None:
    """Handlers belong to the main thread: elsewhere nothing is put off, and nothing breaks."""
    steps: list[str] = []

    def work() -> None:
        with undisturbed():
            steps.append("worked")

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert steps == ["worked"]
