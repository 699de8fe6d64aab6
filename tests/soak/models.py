"""The simulator as processes that can be killed and are back at once.

`python -m tests.soak.models PORT CONFIG MODELS` builds the simulator once and, for every line that
it reads, forks a server for it and says its process id: what is killed is a whole server, what
comes back does not have to load its tables again. Its models read the tickets of this suite by a
word; faults, tokens, latencies and statistics are the simulator's own.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from classifier import logs
from classifier.cli.listening import bind
from classifier.config.load import load
from classifier.simulator import config
from classifier.simulator.config import Skill
from classifier.simulator.opinion import Reader
from classifier.simulator.server import Simulator, assemble, server

_WORDS = {"charged": "billing", "sign in": "login"}


class ByOneWord:
    """Sure of the label whose word stands in the ticket."""

    def probabilities(
        self, text: str, offered: Sequence[str], sharpness: float
    ) -> tuple[float, ...]:
        known = next((label for word, label in _WORDS.items() if word in text), "other")
        rest = 0.02 / len(offered)
        return tuple(rest + 0.98 * (label == known) for label in offered)


def main(port: str, taxonomy_file: str, models_file: str) -> None:
    """Builds once, forks a server for every line."""
    logs.set_up("warning")
    readers: dict[Skill, Reader] = {"examples": ByOneWord(), "tickets": ByOneWord()}
    taxonomy = load(Path(taxonomy_file), {}).config.taxonomy
    app = assemble(config.load(Path(models_file)), taxonomy, readers, seed=0)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for the killed
    for _ in sys.stdin:
        child = os.fork()
        if not child:
            _serve(app, int(port))
        print(child, flush=True)


def _serve(app: Simulator, port: int) -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    server(app, "127.0.0.1", port).run(sockets=[bind("127.0.0.1", port)])
    os._exit(0)


if __name__ == "__main__":
    main(*sys.argv[1:])
