"""Pictures of pages: small, and the same to the eye."""

from __future__ import annotations

import base64
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from k8s.monitoring.drawing.browser import Browser, BrowserError, found, opened
from k8s.monitoring.drawing.pictures import save

IMAGES = Path(__file__).parents[2] / "docs" / "images"
# what a picture shows at some points, as the browser reads it back
PIXELS = """(async (png, points) => {
  const bitmap = await createImageBitmap(new Blob([Uint8Array.from(atob(png), (c) => c.charCodeAt(0))]));
  const canvas = new OffscreenCanvas(bitmap.width, bitmap.height).getContext("2d");
  canvas.drawImage(bitmap, 0, 0);
  return points.map(([x, y]) => [...canvas.getImageData(x, y, 1, 1).data.slice(0, 3)]);
})"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One for all pictures."""
    if found() is None:
        # The README promises tests that need only Python; CI installs it and so skips nothing.
        pytest.skip("no chromium on the PATH (Debian: apt-get install chromium)")
    with opened() as running:
        yield running


def size(png: bytes) -> tuple[int, int, int]:
    """Width, height and colour type, from the file's head."""
    assert png.startswith(b"\x89PNG\r\n\x1a\n")
    width, height, _, colours = struct.unpack(">IIBB", png[16:26])
    return width, height, colours


def test_picture_shows_the_whole_page(browser: Browser, tmp_path: Path) -> None:
    """Also what lies below the screen; in a palette, with every plain colour as it was."""
    page = tmp_path / "page.html"
    page.write_text(
        "<body style='margin:0'><div style='height:700px;background:#123456'></div>"
        "<div style='height:700px;background:#fedcba'></div>"
    )
    saved = tmp_path / "page.png"
    tab = browser.page(page.as_uri(), width=600, height=500)
    assert save(tab, saved) == saved.stat().st_size
    assert size(saved.read_bytes()) == (600, 1_400, 3)
    text = base64.b64encode(saved.read_bytes()).decode()
    colours = tab.look(f"{PIXELS}('{text}', [[0, 0], [599, 699], [0, 700], [599, 1399]])")
    assert colours == [[0x12, 0x34, 0x56]] * 2 + [[0xFE, 0xDC, 0xBA]] * 2


def test_many_colours_stay_near(browser: Browser, tmp_path: Path) -> None:
    """A picture of thousands of colours gets 256 of them, each one near to what it stands for."""
    page = tmp_path / "page.html"
    page.write_text(
        "<body style='margin:0;height:256px;"
        "background:linear-gradient(to right, #000, #f00),linear-gradient(#000, #0f0);"
        "background-blend-mode:screen'>"
    )
    tab = browser.page(page.as_uri(), width=256, height=256)
    before = base64.b64encode(tab.picture()).decode()
    save(tab, tmp_path / "page.png")
    after = base64.b64encode((tmp_path / "page.png").read_bytes()).decode()
    points = [[x, y] for x in range(8, 256, 40) for y in range(8, 256, 40)]
    one, other = (tab.look(f"{PIXELS}('{png}', {points})") for png in (before, after))
    assert len({tuple(colour) for colour in one}) == len(points)
    far = [
        max(abs(a - b) for a, b in zip(x, y, strict=True)) for x, y in zip(one, other, strict=True)
    ]
    assert max(far) <= 24


def test_broken_script_is_told(browser: Browser, tmp_path: Path) -> None:
    """A page that never gets there and a script that fails are errors, not silence."""
    tab = browser.page("about:blank")
    with pytest.raises(BrowserError, match="not true within"):
        tab.until("false", within_s=0.05)
    with pytest.raises(BrowserError, match="planted"):
        tab.look("(() => { throw new Error('planted') })()")


def test_committed_pictures_are_small() -> None:
    """All pictures that a clone carries come to less than 1.5 MB, and each is in a palette."""
    pictures = sorted(IMAGES.glob("*.png"))
    assert len(pictures) >= 8
    assert sum(picture.stat().st_size for picture in pictures) < 1_500_000
    assert {size(picture.read_bytes())[2] for picture in pictures} == {3}
