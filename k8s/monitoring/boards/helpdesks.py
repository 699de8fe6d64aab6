"""Dashboard Helpdesk loop: from the delivery of a webhook to the label in the ticket."""

from __future__ import annotations

from k8s.monitoring.boards.board import Board, Row, models_row
from k8s.monitoring.boards.panels import (
    BAD,
    GOOD,
    WARN,
    ask,
    ask_once,
    lines,
    number,
    quantile,
)

_DELIVERIES = "classifier_webhook_deliveries_total"
_LOOP = "classifier_loop_duration_seconds"
_WRITES = "classifier_write_backs_total"
_ENTRIES = "classifier_queue_entries"
_CORRECTIONS = "classifier_corrections_total"
_LINES = "classifier_ledger_lines_total"
_UNSAFE = ("unsafe", BAD)
_DURABILITY = {"0": ("durable", GOOD), "1": ("unknown", WARN), "2": _UNSAFE, "3": _UNSAFE}


def board() -> Board:
    """In the order of the way that a ticket takes."""
    return Board(
        uid="classifier-helpdesks",
        title="Classifier / Helpdesk loop",
        description="Deliveries of helpdesks, the queues, what is written back, what agents correct.",
        since="now-6h",
        rows=[
            models_row(),
            _glance(),
            _front_door(),
            _queues(),
            _write_back(),
            _corrections(),
        ],
    )


def _per_minute(name: str, by: str, where: str = "") -> str:
    return f"60 * sum by ({by}) (rate({name}{{@{where}}}[$__rate_interval]))"


def _glance() -> Row:
    return Row(
        "At a glance",
        number(
            "Tickets labelled",
            "Tickets of the time range that came by webhook or poll and were worked off to the end.",
            "locale",
            ask_once(f"sum(increase({_LOOP}_count{{@}}[$__range]))"),
            decimals=0,
        ).span(4),
        number(
            "Delivery to label, p95",
            "Nineteen of twenty tickets carried their label so soon after their delivery.",
            "s",
            ask_once("max(account:classifier_loop_duration_seconds:p95_15m{#})"),
        ).span(4),
        number(
            "Oldest entry",
            "What has waited longest in the inbox or the outbox; ClassifierQueueOld stands at 15 minutes.",
            "s",
            ask_once("max(classifier_queue_oldest_seconds{@})"),
            steps=((None, GOOD), (300, WARN), (900, BAD)),
        ).span(4),
        number(
            "Dead letters",
            "Entries that were given up: `classifier inbox list` names them and the reason.",
            "short",
            ask_once(f'sum(max by (queue) ({_ENTRIES}{{@, state="dead"}}))'),
            steps=((None, GOOD), (1, BAD)),
            decimals=0,
        ).span(4),
        number(
            "Deliveries turned away",
            "Answered with the vendor's `send again later`, because the inbox could not keep them.",
            "locale",
            ask_once(
                f'sum(increase({_DELIVERIES}{{@, outcome="busy"}}[$__range]))'
                f" or 0 * sum(increase({_DELIVERIES}{{@}}[$__range]))"
            ),
            steps=((None, GOOD), (1, BAD)),
            decimals=0,
        ).span(4),
        number(
            "Inbox",
            "durable: survives a crash. unsafe: its Redis loses events when it dies. unknown: a Redis "
            "that does not say (managed ones hide CONFIG).",
            "none",
            ask_once(
                'max(2 * classifier_inbox_durability{@, found="unsafe"})'
                ' + max(classifier_inbox_durability{@, found="unknown"})'
            ),
            words=_DURABILITY,
        ).span(4),
    )


def _front_door() -> Row:
    return Row(
        "Front door",
        lines(
            "Deliveries per minute",
            "accepted: safe in the inbox; duplicate: known already; ignored: nothing to do; handshake: "
            "the vendor's set-up; busy: to be sent again; not_genuine: 401; malformed: 400.",
            "short",
            ask(_per_minute(_DELIVERIES, "account, outcome"), "{{account}} · {{outcome}}"),
            stacked=True,
        ),
        lines(
            "Acknowledgement",
            "Time until a delivery was answered, its event safe. Intercom gives 500 ms, Chatwoot 5 s.",
            "s",
            ask(
                quantile(0.5, "classifier_webhook_acknowledge_duration_seconds", by="account"),
                "{{account}} p50",
            ),
            ask(
                quantile(0.99, "classifier_webhook_acknowledge_duration_seconds", by="account"),
                "{{account}} p99",
            ),
        ),
    )


def _queues() -> Row:
    return Row(
        "Queues",
        lines(
            "Entries",
            "waiting: for a worker or for their next try; claimed: in work. Every process tells of the "
            "same queue, so the highest counts.",
            "short",
            ask(
                f'max by (queue, state) ({_ENTRIES}{{@, state=~"waiting|claimed"}})',
                "{{queue}} {{state}}",
            ),
        ).span(8),
        lines(
            "Alone and dead",
            "alone: they crashed two workers and are tried with nothing beside them; dead: given up, and "
            "kept until somebody deals with them.",
            "short",
            ask(
                f'max by (queue, state) ({_ENTRIES}{{@, state=~"alone|dead"}})',
                "{{queue}} {{state}}",
            ),
        ).span(8),
        lines(
            "Age of the oldest entry",
            "Neither done nor dead. A line that rises steadily is a queue that nobody works off.",
            "s",
            ask("max by (queue) (classifier_queue_oldest_seconds{@})"),
        ).span(8),
        lines(
            "Entries worked per minute",
            "How workers let go of them. dead_…: given up; held_back: the account's limit; helpdesk_…, "
            "unavailable, no_path_answered and the like: tried again later.",
            "short",
            ask(
                _per_minute("classifier_queue_ended_total", "queue, outcome"),
                "{{queue}} · {{outcome}}",
            ),
            stacked=True,
        ),
        lines(
            "Time in a worker's hands",
            "One try, whatever came of it: in the inbox the model's time, in the outbox the helpdesk's.",
            "s",
            ask(
                quantile(0.5, "classifier_queue_work_duration_seconds", by="queue"), "{{queue}} p50"
            ),
            ask(
                quantile(0.99, "classifier_queue_work_duration_seconds", by="queue"),
                "{{queue}} p99",
            ),
        ),
    )


def _write_back() -> Row:
    return Row(
        "Write-back",
        lines(
            "Delivery to label",
            "From the delivery of a ticket until it carries its label, waiting included.",
            "s",
            ask(quantile(0.5, _LOOP, by="account"), "{{account}} p50"),
            ask(quantile(0.95, _LOOP, by="account"), "{{account}} p95"),
        ),
        lines(
            "Write-backs per minute",
            "written, already, suggested: done; kept_human: an agent's value stayed; gone: no ticket any "
            "more; rate_limited, conflict, unavailable, unauthorised: again later; refused: never.",
            "short",
            ask(_per_minute(_WRITES, "account, status"), "{{account}} · {{status}}"),
            stacked=True,
        ),
        lines(
            "Allowed writes per minute",
            "Our share of each account's limit, as configured or as the vendor's headers say; per process.",
            "short",
            ask(
                "min by (account) (classifier_write_backs_allowed_per_minute{@})",
                "{{account}} allowed",
            ),
            ask(
                f"60 * sum by (account) (rate({_WRITES}{{@}}[$__rate_interval]))",
                "{{account}} in use",
            ),
            dashed=".* allowed",
        ),
        lines(
            "Write-backs that fail",
            "Share of the last 15 minutes that the helpdesk refused or did not take; "
            "ClassifierWriteBacksFail stands at half.",
            "percentunit",
            ask("account:classifier_write_backs_failed:ratio_rate15m{#}", "{{account}}"),
            most=1,
        ),
    )


def _corrections() -> Row:
    return Row(
        "Corrections and ledger",
        lines(
            "Label changes per hour",
            "corrected: an agent chose another label; removed: took it off; echo: our own write came "
            "back and was recognised.",
            "short",
            ask(
                f"sum by (account, kind) (increase({_CORRECTIONS}{{@}}[1h]))",
                "{{account}} · {{kind}}",
            ),
            stacked=True,
        ).span(8),
        lines(
            "Corrected share",
            "Of the labels written within a day, how many agents changed: the error that agents see. They "
            "do not look at every ticket, so it is a lower bound.",
            "percentunit",
            ask("account:classifier_corrected:ratio_1d{#}", "{{account}}"),
            most=1,
        ).span(8),
        lines(
            "Ledger lines per minute",
            "written; dropped: the queue was full; failed: the file could not be written.",
            "short",
            ask(_per_minute(_LINES, "kind, outcome"), "{{kind}} · {{outcome}}"),
            stacked=True,
        ).span(8),
    )
