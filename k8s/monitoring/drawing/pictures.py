"""Pictures small enough to be kept in the repository: 256 colours do for pages of text and lines."""

from __future__ import annotations

import base64
import struct
import zlib
from pathlib import Path

from k8s.monitoring.drawing.browser import Page

# The browser itself decodes its PNG. Colours enter the palette by how often they occur, unless one
# is near enough already; `near` grows until 256 are enough, so no pixel moves farther than that.
_INDEXED = """(async (png) => {
  const bitmap = await createImageBitmap(new Blob([Uint8Array.from(atob(png), (c) => c.charCodeAt(0))]));
  const {width, height} = bitmap;
  const canvas = new OffscreenCanvas(width, height).getContext("2d");
  canvas.drawImage(bitmap, 0, 0);
  const pixels = new Uint32Array(canvas.getImageData(0, 0, width, height).data.buffer);
  const counts = new Map();
  for (const pixel of pixels) counts.set(pixel, (counts.get(pixel) ?? 0) + 1);
  const colours = [...counts].sort((a, b) => b[1] - a[1]).map(([colour]) => colour);
  const part = (a, b, shift) => (a >> shift & 255) - (b >> shift & 255);
  const far = (a, b) => Math.hypot(part(a, b, 0), part(a, b, 8), part(a, b, 16));
  let palette = [];
  for (let near = 0; ; near += 2) {
    palette = [];
    for (const colour of colours) {
      if (!palette.some((known) => far(known, colour) <= near)) palette.push(colour);
      if (palette.length > 256) break;
    }
    if (palette.length <= 256) break;
  }
  const index = new Map();
  for (const colour of colours) {
    let best = 0;
    for (let n = 1; n < palette.length; n++) if (far(palette[n], colour) < far(palette[best], colour)) best = n;
    index.set(colour, best);
  }
  let text = "";
  const bytes = Uint8Array.from(pixels, (pixel) => index.get(pixel));
  for (let at = 0; at < bytes.length; at += 32768) text += String.fromCharCode(...bytes.subarray(at, at + 32768));
  return {width, height, palette: palette.map((c) => [c & 255, c >> 8 & 255, c >> 16 & 255]), pixels: btoa(text)};
})"""


def save(page: Page, file: Path) -> int:
    """The whole page as a PNG with a palette; returns its size in bytes."""
    found = page.look(f"{_INDEXED}('{base64.b64encode(page.picture()).decode()}')")
    pixels, width = base64.b64decode(found["pixels"]), found["width"]
    rows = b"".join(b"\0" + pixels[start : start + width] for start in range(0, len(pixels), width))
    colours = b"".join(map(bytes, found["palette"]))
    header = struct.pack(">IIBBBBB", width, found["height"], 8, 3, 0, 0, 0)
    parts = (
        (b"IHDR", header),
        (b"PLTE", colours),
        (b"IDAT", zlib.compress(rows, 9)),
        (b"IEND", b""),
    )
    file.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(map(_chunk, parts)))
    return file.stat().st_size


def _chunk(part: tuple[bytes, bytes]) -> bytes:
    name, data = part
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
