"""Prints a part of a lock file, hashes and all, for a stage of the image.

`lock_part.py LOCK --only NAME…` keeps these packages and what they need, which the lock's own
`# via` comments tell; `--without NAME…` leaves just these out. pip then installs the part with
`--require-hashes`. Standard library only.
"""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path

_PIN = re.compile(r"^([a-z0-9][a-z0-9._-]*)==", re.MULTILINE)
_VIA = re.compile(r"^ {4}#(?: via)? +(.+)$", re.MULTILINE)


def blocks(lock: str) -> dict[str, str]:
    """Package name -> its pin, hashes and comments."""
    starts = [*_PIN.finditer(lock)]
    ends = [*(start.start() for start in starts[1:]), len(lock)]
    return {start[1]: lock[start.start() : end] for start, end in zip(starts, ends, strict=True)}


def needed(pins: dict[str, str], wanted: list[str]) -> set[str]:
    """`wanted` and everything that they lead to. Raises SystemExit for a name that is not locked."""
    unknown = [name for name in wanted if name not in pins]
    if unknown:
        raise SystemExit(f"not in the lock: {', '.join(unknown)}")
    found: set[str] = set()
    waiting = set(wanted)
    while waiting:
        found |= waiting
        waiting = {name for name, pin in pins.items() if set(_VIA.findall(pin)) & waiting} - found
    return found


def main(arguments: list[str]) -> None:
    """Writes the part to stdout."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("lock", type=Path)
    parser.add_argument("--only", nargs="+", default=[])
    parser.add_argument("--without", nargs="+", default=[])
    options = parser.parse_args(arguments)
    pins = blocks(options.lock.read_text(encoding="utf-8"))
    kept = needed(pins, options.only) if options.only else set(pins)
    kept -= set(options.without)
    sys.stdout.write("".join(pins[name] for name in sorted(kept)))


if __name__ == "__main__":
    main(sys.argv[1:])
