"""The commands, one file each: `add_arguments` describes it, `run` does it."""

from classifier.cli import (
    check,
    classify,
    connect,
    demo,
    inbox,
    ledger,
    prompt,
    reference,
    serve,
    simulate,
    verify,
    worker,
)

COMMANDS = {
    "serve": serve,
    "worker": worker,
    "demo": demo,
    "classify": classify,
    "prompt": prompt,
    "check": check,
    "verify": verify,
    "connect": connect,
    "inbox": inbox,
    "ledger": ledger,
    "simulate": simulate,
    "reference": reference,
}

__all__ = ["COMMANDS"]
