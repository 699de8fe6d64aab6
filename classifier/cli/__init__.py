"""The commands, one file each: `add_arguments` describes it, `run` does it."""

from classifier.cli import check, classify, demo, prompt, reference, serve, simulate

COMMANDS = {
    "serve": serve,
    "demo": demo,
    "classify": classify,
    "prompt": prompt,
    "check": check,
    "simulate": simulate,
    "reference": reference,
}

__all__ = ["COMMANDS"]
