"""Makes a picture of a page small: 256 colours at most, each pixel the nearest of them, packed as tightly as zlib can.

The browser takes the picture apart, so nothing here needs a library of pictures.
"""

from __future__ import annotations

import base64
import struct
import zlib

import numpy as np
from numpy.typing import NDArray
from playwright.sync_api import BrowserContext

MOST_COLOURS = 256
_TAKE_APART = """
async (data) => {
  const picture = await createImageBitmap(await (await fetch(`data:image/png;base64,${data}`)).blob());
  const canvas = new OffscreenCanvas(picture.width, picture.height);
  const context = canvas.getContext('2d', { colorSpace: 'srgb' });
  context.drawImage(picture, 0, 0);
  const bytes = context.getImageData(0, 0, picture.width, picture.height).data;
  let text = '';
  for (let at = 0; at < bytes.length; at += 32768) text += String.fromCharCode(...bytes.subarray(at, at + 32768));
  return [picture.width, picture.height, btoa(text)];
}
"""


def shrunk(context: BrowserContext, png: bytes) -> bytes:
    """Return a smaller PNG that looks the same."""
    page = context.new_page()
    width, height, pixels = page.evaluate(_TAKE_APART, base64.b64encode(png).decode())
    page.close()
    rgb = np.frombuffer(base64.b64decode(pixels), np.uint8).reshape(height * width, 4)[:, :3].astype(np.int32)
    colours, places, counts = np.unique((rgb[:, 0] << 16) | (rgb[:, 1] << 8) | rgb[:, 2], return_inverse=True, return_counts=True)
    palette, nearest = _reduced(colours, counts)
    return _written(width, height, palette, nearest[places].astype(np.uint8).reshape(height, width))


def _reduced(colours: NDArray[np.int32], counts: NDArray[np.intp]) -> tuple[NDArray[np.uint8], NDArray[np.intp]]:
    """Return the palette, and for each colour the place in it of the one nearest to it."""
    apart = np.stack([colours >> 16, (colours >> 8) & 255, colours & 255], axis=1)
    kept = np.sort(np.argsort(-_spread(apart, counts), kind="stable")[:MOST_COLOURS])
    palette = apart[kept]
    nearest = np.concatenate(
        [((some[:, None, :] - palette[None]) ** 2).sum(axis=2).argmin(axis=1) for some in np.array_split(apart, 1 + len(apart) // 4096)]
    )
    return palette.astype(np.uint8), nearest


def _spread(apart: NDArray[np.int32], counts: NDArray[np.intp]) -> NDArray[np.float64]:
    """Return how much each colour is worth keeping: the commonest of each small cube stands for all that are like it."""
    cubes = (apart[:, 0] >> 3 << 10) | (apart[:, 1] >> 3 << 5) | (apart[:, 2] >> 3)
    order = np.lexsort((-counts, cubes))
    first = np.zeros(len(counts), bool)
    first[order[np.r_[True, cubes[order][1:] != cubes[order][:-1]]]] = True
    return np.where(first, np.bincount(cubes, counts, 1 << 15)[cubes], counts / 64)


def _written(width: int, height: int, palette: NDArray[np.uint8], places: NDArray[np.uint8]) -> bytes:
    lines = np.zeros((height, width + 1), np.uint8)  # each line begins with its filter: none
    lines[:, 1:] = places
    header = struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"PLTE", palette.tobytes()), (b"IDAT", zlib.compress(lines.tobytes(), 9)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)) for name, data in chunks
    )
