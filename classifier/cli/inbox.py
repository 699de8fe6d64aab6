"""Look into the helpdesks' queues, and deal with dead letters.

  inbox list     how full both queues are, and their dead letters: never what is in them
  inbox retry    dead letters wait again, as if they had just come
  inbox drop     dead letters are forgotten for good

Reads the same settings as `serve`; a file's queues may be looked into while the service runs.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, get_args

from classifier.cli.options import add_config, settings_from
from classifier.errors import ConfigError

if TYPE_CHECKING:
    from classifier.inbox.queues import DeadLetter, QueueName, Queues

_MOST = 1_000


def add_arguments(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    listing = actions.add_parser("list", help="how full the queues are, and their dead letters")
    add_config(listing)
    for name, text in (("retry", "let dead letters wait again"), ("drop", "forget dead letters")):
        action = actions.add_parser(name, help=text)
        add_config(action)
        action.add_argument("queue", choices=("inbox", "outbox"))
        action.add_argument("ids", nargs="*", metavar="ID", help="as `inbox list` shows them")
        action.add_argument("--all", action="store_true", help="every dead letter of the queue")


def run(options: argparse.Namespace, environ: Mapping[str, str]) -> int:
    if options.action != "list" and bool(options.ids) == options.all:
        raise ConfigError(f"inbox {options.action}: name ids, or --all, not both")
    return asyncio.run(_run(options, environ))


async def _run(options: argparse.Namespace, environ: Mapping[str, str]) -> int:
    from classifier.backoffice import queues_of
    from classifier.config.load import config_file, load
    from classifier.inbox.queues import Away

    settings = settings_from(options, environ)
    config = load(config_file(settings.config), environ).config
    queues = queues_of(settings, config)
    if queues is None:
        raise ConfigError(
            "there are no queues: set CLASSIFIER_DATA_DIR or CLASSIFIER_INBOX_REDIS_URL as the "
            "service has them"
        )
    try:
        await queues.open()
        if options.action == "list":
            return await _list(queues)
        return await _deal(queues, options)
    except Away as error:
        print(f"classifier: the queues cannot be reached ({error})", file=sys.stderr)
        return 1
    finally:
        await queues.aclose()


async def _list(queues: Queues) -> int:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    from classifier.cli.terminal import terminal
    from classifier.inbox.queues import QueueName

    console = terminal()
    for queue in get_args(QueueName):
        depth = await queues.depth(queue)
        console.print(
            f"{queue}: {depth.waiting} waiting ({depth.alone} of them alone), {depth.claimed} in "
            f"work, {depth.dead} dead; the oldest is {depth.oldest_s:.0f} s old"
        )
        letters = await queues.dead_letters(queue, _MOST)
        if letters:
            table = Table(box=SIMPLE_HEAD)
            for heading in ("id", "key", "reason", "tries", "crashes", "accepted", "bytes"):
                table.add_column(heading, overflow="fold")
            for letter in letters:
                table.add_row(*_row(letter))
            console.print(table)
    return 0


def _row(letter: DeadLetter) -> tuple[str, ...]:
    accepted = datetime.fromtimestamp(letter.accepted_at, UTC).isoformat(timespec="seconds")
    numbers = (str(letter.tries), str(letter.crashes))
    return (letter.id, letter.key, letter.reason, *numbers, accepted, str(letter.size_bytes))


async def _deal(queues: Queues, options: argparse.Namespace) -> int:
    """Exit code 1 when an id names no dead letter."""
    queue: QueueName = options.queue
    deal = queues.revive if options.action == "retry" else queues.drop
    word = "waits again" if options.action == "retry" else "is forgotten"
    missing = 0
    while ids := options.ids or [each.id for each in await queues.dead_letters(queue, _MOST)]:
        for letter_id in ids:
            if await deal(queue, letter_id):
                print(f"{letter_id} {word}")
            else:
                missing += 1
                print(f"classifier: no dead letter {letter_id} in {queue}", file=sys.stderr)
        if options.ids:
            break
    return 1 if missing else 0
