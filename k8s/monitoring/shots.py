"""Takes the documentation's pictures from the running system: `python3 dev shots`.

Starts simulator, Redis, service and Prometheus, sends the tickets of a day and repeated ones, and
then looks, in a headless Chromium, at what people see: the console, the load test's report, and
previews of the dashboards. Exit code 1, and no picture is touched, when a limit is broken.
"""

from __future__ import annotations

import argparse
import contextlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import NoReturn

import httpx2

from k8s.monitoring import preview
from k8s.monitoring.drawing.asking import View
from k8s.monitoring.drawing.browser import Browser, BrowserError, Page, opened
from k8s.monitoring.drawing.pictures import save
from k8s.monitoring.drawing.reading import read
from loadtests import house
from loadtests.__main__ import against
from loadtests.scenario import plan
from loadtests.scenarios import find
from loadtests.settings import LoadError, Settings, positive

ROOT = Path(__file__).resolve().parents[2]
RULES = Path(__file__).parent / "rules"
_SCRAPE_S, _START_S = 1.0, 20.0
_TICKETS = {
    "console-light": ("Invoice 4471", "You charged my card twice this month!"),
    "console-dark": ("Anmeldung", "Der Link zum Zurücksetzen kommt nicht an."),
    "console-phone": ("Parcel", "The tracking page has not moved for eight days."),
}


def main(arguments: list[str]) -> int:
    options = _parser().parse_args(arguments)
    signal.signal(signal.SIGTERM, _stop)
    try:
        with tempfile.TemporaryDirectory() as scratch:
            return _take(options, Path(scratch))
    except (LoadError, BrowserError) as error:
        print(f"shots: {error}", file=sys.stderr)
        return 2


def _take(options: argparse.Namespace, scratch: Path) -> int:
    with house.opened(scratch) as running, _prometheus(scratch, running.service) as prometheus:
        began = time.time()
        code = _load(running, scratch, "day", options)
        _load(running, scratch, "repeat", options)
        time.sleep(3 * _SCRAPE_S)
        span = (began, time.time())
        if code and not options.anyway:
            print(f"shots: the day ended with {code}; no picture was touched (--anyway takes them)")
            return 1
        options.out.mkdir(parents=True, exist_ok=True)
        with opened() as browser:
            _console(browser, running, options.out)
            _page(browser, scratch / "day" / "report.html", options.out / "load-report.png", 1_080)
            _dashboards(browser, prometheus, span, scratch, options.out)
    return 0


def _load(running: house.House, scratch: Path, scenario: str, options: argparse.Namespace) -> int:
    """A load test against the house that is there; its exit code is its verdict."""
    minutes = options.minutes if scenario == "day" else options.minutes / 4
    settings = Settings(
        scenario=scenario, minutes=minutes, rate=options.rate, out=scratch / scenario
    )
    settings.out.mkdir()
    return against(running, settings, plan(find(scenario), settings))


def _console(browser: Browser, running: house.House, out: Path) -> None:
    """Unlocked, with a ticket tried, as people have it: bright, dark, on a phone."""
    for name, (subject, body) in _TICKETS.items():
        scheme = "dark" if name.endswith("dark") else "light"
        width = 390 if name.endswith("phone") else 1_000
        page = browser.page(f"{running.service}/", width=width, scheme=scheme)
        page.until("document.querySelector('#unlock').checkVisibility()")
        for field, text in (("key", running.api_key), ("subject", subject), ("body", body)):
            page.look(f"document.querySelector('#{field}').select()")
            page.write(text)
            if field == "key":
                page.press("Enter")
                page.until("document.querySelector('#paths').rows.length")
        page.look("document.querySelector('#send').focus()")
        page.press("Enter")
        page.until("document.querySelector('#answer .stages')")
        page.look("document.activeElement.blur()")
        _save(page, out / f"{name}.png")


def _dashboards(
    browser: Browser, prometheus: str, span: tuple[float, float], scratch: Path, out: Path
) -> None:
    with httpx2.Client(timeout=30) as client:
        view = View(client, prometheus, *span, _SCRAPE_S)
        for file in sorted(preview.FOLDER.glob("*.json")):
            if file.stem == "helpdesks":  # the system that is photographed has none
                continue
            drawn = scratch / f"{file.stem}.html"
            drawn.write_text(preview.page(read(file), view), encoding="utf-8")
            _page(browser, drawn, out / f"dashboard-{file.stem}.png", preview.WIDTH)


def _page(browser: Browser, html: Path, png: Path, width: int) -> None:
    _save(browser.page(html.as_uri(), width=width), png)


def _save(page: Page, png: Path) -> None:
    print(
        f"{png.relative_to(ROOT) if png.is_relative_to(ROOT) else png}  {save(page, png) / 1_000:.0f} kB"
    )


@contextlib.contextmanager
def _prometheus(folder: Path, service: str) -> Iterator[str]:
    """A real one over the service, with our rules; its address."""
    binary = shutil.which("prometheus")
    if binary is None:
        raise LoadError("no prometheus on the PATH (Debian: apt-get install prometheus)")
    url = f"http://127.0.0.1:{house.free_port()}"
    config = folder / "prometheus.yml"
    config.write_text(
        f"global: {{scrape_interval: {_SCRAPE_S:.0f}s, evaluation_interval: {_SCRAPE_S:.0f}s}}\n"
        f"rule_files: ['{RULES}/*.yaml']\n"
        "scrape_configs:\n- job_name: classifier\n  static_configs:\n"
        f"  - targets: ['{service.removeprefix('http://')}']\n",
        encoding="utf-8",
    )
    child: subprocess.Popen[bytes] | None = None
    try:
        with house.undisturbed():
            child = subprocess.Popen(
                (
                    binary, f"--config.file={config}", f"--storage.tsdb.path={folder}/tsdb",
                    f"--web.listen-address={url.removeprefix('http://')}", "--log.level=error",
                ),
                start_new_session=True,
            )  # fmt: skip
        _until_ready(f"{url}/-/ready", child)
        yield url
    finally:
        if child is not None:
            house.end(child)


def _until_ready(url: str, child: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + _START_S
    while True:
        with contextlib.suppress(httpx2.HTTPError):
            if httpx2.get(url).is_success:
                return
        if child.poll() is not None or time.monotonic() > deadline:
            raise LoadError("Prometheus did not start")
        time.sleep(0.05)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="dev shots", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "images", help="docs/images")
    parser.add_argument("--minutes", type=positive, default=2.0, help="length of the day's run (2)")
    parser.add_argument("--rate", type=positive, default=25.0, help="most tickets a second (25)")
    parser.add_argument("--anyway", action="store_true", help="whatever the verdict is")
    return parser


def _stop(_number: int, _frame: FrameType | None) -> NoReturn:
    """Ends through the clean-up code."""
    sys.exit(128 + signal.SIGTERM)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
