"""Known vulnerabilities in what the lock installs: asks the OSV database, whose PyPI part is PyPA's.

Exit codes: 0 none known (or nobody could be asked, which is said loudly), 1 some, 2 wrong usage.
Only the standard library: a check of the supply chain should not lengthen it. Never takes longer
than `--within` seconds. What is looked at and found harmless stands in pyproject.toml with a reason:

    [tool.audit]
    ignore = { GHSA-xxxx-xxxx-xxxx = "why it does not concern us" }
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import threading
import tomllib
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
SERVICE = "https://api.osv.dev/v1/querybatch"
_PIN = re.compile(r"^([A-Za-z0-9._-]+)==([^\s;\\]+)", re.MULTILINE)
_Known = dict[tuple[str, str], list[str]]


def pins(lock: Path) -> list[tuple[str, str]]:
    """Every name and version that the lock can install, whatever the platform."""
    return sorted(set(_PIN.findall(lock.read_text(encoding="utf-8"))))


def ask(service: str, packages: list[tuple[str, str]], within_s: float) -> _Known:
    """Ids of vulnerabilities by package. Raises OSError or ValueError when nobody gives them."""
    queries = [
        {"package": {"name": name, "ecosystem": "PyPI"}, "version": version}
        for name, version in packages
    ]
    request = urllib.request.Request(  # noqa: S310 -- https, or what the caller names
        service,
        json.dumps({"queries": queries}).encode(),
        {"Content-Type": "application/json", "User-Agent": "ticket-classifier-audit"},
    )
    found: list[Any] = []

    def fetch() -> None:
        try:
            with urllib.request.urlopen(request, timeout=within_s) as answer:  # noqa: S310
                found.append(json.load(answer))
        except Exception as error:  # noqa: BLE001 -- raised again where somebody waits
            found.append(error)

    # A name that is being looked up cannot be interrupted; a thread can be left alone.
    thread = threading.Thread(target=fetch, daemon=True)
    thread.start()
    thread.join(within_s)
    if not found:
        raise TimeoutError(f"no answer within {within_s:g} s")
    if isinstance(found[0], Exception):
        raise found[0]
    return _read(found[0], packages)


def _read(answer: Any, packages: list[tuple[str, str]]) -> _Known:
    results = answer.get("results") if isinstance(answer, dict) else None
    if not isinstance(results, list) or len(results) != len(packages):
        raise ValueError("the answer is not one result for each package")
    return {
        package: sorted(each["id"] for each in result["vulns"])
        for package, result in zip(packages, results, strict=True)
        if result.get("vulns")
    }


def verdict(known: _Known, ignored: Mapping[str, str]) -> int:
    """Prints what is known; 1 when something of it is not explained."""
    left = 0
    for (name, version), ids in known.items():
        for vulnerability in ids:
            reason = ignored.get(vulnerability)
            left += reason is None
            print(
                f"audit: {name} {version}: {vulnerability}"
                + (f" (ignored: {reason})" * bool(reason))
            )
    return 1 if left else 0


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lock", type=Path, default=ROOT / "requirements-dev.lock")
    parser.add_argument("--project", type=Path, default=ROOT / "pyproject.toml")
    parser.add_argument("--service", default=SERVICE, help="an OSV `querybatch` address")
    parser.add_argument("--within", type=float, default=20.0, help="seconds (20)")
    options = parser.parse_args(arguments)
    packages = pins(options.lock)
    tool = tomllib.loads(options.project.read_text(encoding="utf-8")).get("tool", {})
    try:
        known = ask(options.service, packages, options.within)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        print(
            f"\naudit: NOT DONE: {options.service} could not be asked ({type(error).__name__}: {error});\n"
            f"audit: {len(packages)} packages were not compared with known vulnerabilities\n",
            file=sys.stderr,
        )
        return 0
    code = verdict(known, tool.get("audit", {}).get("ignore", {}))
    says = (
        "vulnerabilities are known, see above" if code else "no vulnerability that matters is known"
    )
    print(f"audit: {len(packages)} packages, {says}")
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
