"""A headless Chromium over its DevTools protocol: for pictures, and for tests of pages.

  with opened() as browser:
      page = browser.page("http://127.0.0.1:8000/", width=360)
      page.press("Tab"); page.write("charged twice"); page.press("Enter")
      page.until("document.querySelector('.label')")
      Path("console.png").write_bytes(page.picture())

Keys are real key events, so that what only works with a mouse does not work here.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from websocket import WebSocket, create_connection

_START_S, _ANSWER_S = 30.0, 30.0
_FLAGS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--hide-scrollbars", "--remote-debugging-port=0",
)  # fmt: skip
# name -> (virtual key code, what it types)
_KEYS = {
    "Tab": (9, ""),
    "Enter": (13, "\r"),
    " ": (32, " "),
    "ArrowDown": (40, ""),
    "Escape": (27, ""),
}
_SHIFT = 8


class BrowserError(Exception):
    """The browser did not start, a page did not get there, or its script failed."""


def found() -> str | None:
    """The browser on the PATH."""
    names = ("chromium", "chromium-browser", "google-chrome")
    return next(filter(None, map(shutil.which, names)), None)


class _Line:
    """The one connection: commands get their answers, events go to the tab that they tell of."""

    def __init__(self, socket: WebSocket) -> None:
        self._socket = socket
        self._number = 0
        self.pages: dict[str, Page] = {}

    def call(self, session: str, method: str, parameters: dict[str, Any]) -> dict[str, Any]:
        self._number += 1
        command = {"id": self._number, "method": method, "params": parameters}
        self._socket.send(json.dumps(command | ({"sessionId": session} if session else {})))
        while True:
            message = json.loads(self._socket.recv())
            if message.get("id") == self._number:
                break
            if page := self.pages.get(message.get("sessionId", "")):
                page.hear(message["method"], message.get("params", {}))
        if "error" in message:
            raise BrowserError(f"{method}: {message['error']['message']}")
        result: dict[str, Any] = message["result"]
        return result


class Page:
    """One tab. `asked` are the URLs that it requested, `errors` what its scripts complained of."""

    def __init__(self, line: _Line, session: str) -> None:
        self._line = line
        self._session = session
        self.asked: list[str] = []
        self.errors: list[str] = []

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """One command of the protocol. Raises BrowserError with the browser's words."""
        return self._line.call(self._session, method, parameters)

    def go(self, url: str) -> None:
        """Loads a page; it and what it wants at once are there when this returns."""
        self.call("Page.navigate", url=url)
        self.until(
            f"document.readyState === 'complete' && location.href.startsWith({json.dumps(url)})"
        )

    def look(self, expression: str) -> Any:
        """What an expression of JavaScript gives; promises are awaited."""
        reply = self.call(
            "Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True
        )
        if "exceptionDetails" in reply:
            raise BrowserError(f"{expression[:200]}: {reply['exceptionDetails'].get('exception')}")
        return reply["result"].get("value")

    def until(self, expression: str, within_s: float = 10.0) -> None:
        """Waits until an expression is true. Raises BrowserError."""
        deadline = time.monotonic() + within_s
        while not self.look(f"Boolean({expression})"):
            if time.monotonic() > deadline:
                raise BrowserError(f"not true within {within_s} s: {expression}")
            time.sleep(0.02)

    def press(self, key: str, *, shift: bool = False) -> None:
        code, text = _KEYS[key]
        kind = "keyDown" if text else "rawKeyDown"
        event = {
            "key": key, "code": "Space" if key == " " else key, "windowsVirtualKeyCode": code,
            "modifiers": _SHIFT if shift else 0,
        }  # fmt: skip
        self.call("Input.dispatchKeyEvent", type=kind, text=text, **event)
        self.call("Input.dispatchKeyEvent", type="keyUp", **event)

    def write(self, text: str) -> None:
        """Types into what has the focus, over what is marked there."""
        self.call("Input.insertText", text=text)

    def size(self, width: int, height: int = 900, scale: float = 1.0) -> None:
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width, height=height, deviceScaleFactor=scale, mobile=width < 500,
        )  # fmt: skip

    def scheme(self, name: str) -> None:
        """`light` or `dark`, as the system would say."""
        feature = {"name": "prefers-color-scheme", "value": name}
        self.call("Emulation.setEmulatedMedia", features=[feature])

    def picture(self) -> bytes:
        """The whole page from top to bottom, as PNG."""
        size = self.call("Page.getLayoutMetrics")["cssContentSize"]
        clip = {"x": 0, "y": 0, "width": size["width"], "height": size["height"], "scale": 1}
        reply = self.call(
            "Page.captureScreenshot", format="png", captureBeyondViewport=True, clip=clip
        )
        return base64.b64decode(reply["data"])

    def tree(self) -> list[dict[str, Any]]:
        """What a screen reader is told: role, name and properties of every node."""
        nodes = self.call("Accessibility.getFullAXTree")["nodes"]
        return [_spoken(node) for node in nodes if not node.get("ignored")]

    def hear(self, method: str, told: dict[str, Any]) -> None:
        """One event of the protocol."""
        match method:
            case "Network.requestWillBeSent":
                self.asked.append(told["request"]["url"])
            case "Runtime.exceptionThrown":
                self.errors.append(str(told["exceptionDetails"].get("exception", told)))
            case "Log.entryAdded" if told["entry"]["level"] == "error":
                self.errors.append(f"{told['entry']['text']} {told['entry'].get('url', '')}")


class Browser:
    """A running browser with a profile of its own."""

    def __init__(self, socket: WebSocket) -> None:
        self._line = _Line(socket)

    def page(self, url: str, width: int = 1_000, height: int = 900, scheme: str = "light") -> Page:
        """A new tab without memory of the others, at this size and in this colour scheme."""
        whole = Page(self._line, "")
        context = whole.call("Target.createBrowserContext")["browserContextId"]
        target = whole.call("Target.createTarget", url="about:blank", browserContextId=context)
        session = whole.call("Target.attachToTarget", targetId=target["targetId"], flatten=True)
        page = self._line.pages[session["sessionId"]] = Page(self._line, session["sessionId"])
        for domain in ("Page", "Runtime", "Network", "Log", "Accessibility"):
            page.call(f"{domain}.enable")
        page.size(width, height)
        page.scheme(scheme)
        page.go(url)
        return page


@contextlib.contextmanager
def opened() -> Iterator[Browser]:
    """A browser that is gone when the block ends. Raises BrowserError without one."""
    binary = found()
    if binary is None:
        raise BrowserError("no chromium on the PATH (Debian: apt-get install chromium)")
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        process = subprocess.Popen(
            (binary, *_FLAGS, f"--user-data-dir={profile}", "about:blank"),
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            start_new_session=True,
        )  # fmt: skip
        try:
            url = _address(Path(profile, "DevToolsActivePort"), process)
            socket = create_connection(url, timeout=_ANSWER_S, suppress_origin=True)
            with contextlib.closing(socket):
                yield Browser(socket)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)  # the group is the browser's own
            process.wait()


def _address(file: Path, process: subprocess.Popen[bytes]) -> str:
    """Where it listens; it says so in a file of its profile."""
    deadline = time.monotonic() + _START_S
    while not (file.exists() and len(lines := file.read_text(encoding="utf-8").split()) == 2):
        if process.poll() is not None or time.monotonic() > deadline:
            raise BrowserError("the browser did not start")
        time.sleep(0.02)
    port, path = lines
    return f"ws://127.0.0.1:{port}{path}"


def _spoken(node: dict[str, Any]) -> dict[str, Any]:
    properties = {one["name"]: one["value"].get("value") for one in node.get("properties", [])}
    return {
        "role": node.get("role", {}).get("value", ""),
        "name": node.get("name", {}).get("value", ""),
        **properties,
    }
