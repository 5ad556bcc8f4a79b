"""Small pictures of signed values as PNG, without a library."""

import base64
import struct
import zlib

import numpy as np

# Dark blue below zero, grey at zero, light orange above: told apart by lightness too, on any page.
N_STEPS = 32  # of colour on either side of zero: finer ones are not seen, and cost bytes
_STOPS = (-1.0, -0.5, 0.0, 0.5, 1.0)
_COLOURS = ((8, 20, 66), (58, 88, 140), (134, 134, 138), (214, 160, 100), (255, 233, 190))


def palette() -> np.ndarray:
    """Colours (N, 3) of values from -1 to 1; the middle one is zero."""
    values = np.linspace(-1, 1, 2 * N_STEPS + 1)
    colours = np.array(_COLOURS, dtype=float).T
    return np.stack([np.interp(values, _STOPS, channel) for channel in colours], 1).round().astype(np.uint8)


def draw_signed(values: np.ndarray) -> str:
    """Values (H, W), the first row at the bottom, as the address of a picture; scaled to their largest.

    >>> draw_signed(np.array([[0.0, 1.0]]))[:22]
    'data:image/png;base64,'
    """
    largest = np.abs(values).max()
    scaled = values / largest if largest > 0 else values
    indices = (N_STEPS + np.rint(N_STEPS * scaled)).astype(np.uint8)[::-1]
    return "data:image/png;base64," + base64.b64encode(encode_png(indices, palette())).decode()


def encode_png(indices: np.ndarray, colours: np.ndarray) -> bytes:
    """A picture (H, W) of indices into colours (N, 3), N at most 256 (PNG specification, colour type 3)."""
    height, width = indices.shape
    rows = np.concatenate([np.zeros((height, 1), np.uint8), indices], 1)  # filter type 0 before each row
    header = struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0)
    parts = [(b"IHDR", header), (b"PLTE", colours.tobytes()), (b"IDAT", zlib.compress(rows.tobytes(), 9))]
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(*part) for part in [*parts, (b"IEND", b"")])


def _chunk(kind: bytes, content: bytes) -> bytes:
    check = struct.pack(">I", zlib.crc32(kind + content))
    return struct.pack(">I", len(content)) + kind + content + check
