"""Small pictures of signed values, of shares and of levels as PNG, without a library."""

import base64
import struct
import zlib

import numpy as np

# Dark blue below zero, grey at zero, light orange above: told apart by lightness too, on any page.
N_STEPS = 32  # of colour on either side of zero: finer ones are not seen, and cost bytes
_STOPS = (-1.0, -0.5, 0.0, 0.5, 1.0)
_COLOURS = ((8, 20, 66), (58, 88, 140), (134, 134, 138), (214, 160, 100), (255, 233, 190))
_SHARE = (52, 122, 204)  # seen on white as on nearly black
# From dark to light in equal steps, as matplotlib's "magma".
_HEAT = ((0, 0, 4), (28, 16, 68), (79, 18, 123), (129, 37, 129), (181, 54, 122), (229, 80, 100),
         (251, 135, 97), (254, 194, 135), (252, 253, 191))  # fmt: skip


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
    return _as_address(encode_png(indices, palette()))


def draw_shares(levels: np.ndarray, n_levels: int) -> str:
    """Levels (H, W) from 0 to n_levels - 1, the first row on top, as the address of a picture.

    One colour, from clear to full: the page shows through, whether that is light or dark. Low levels are
    raised a little, as they would not be seen.

    >>> draw_shares(np.array([[0, 15]]), 16)[:22]
    'data:image/png;base64,'
    """
    colours = np.tile(np.array(_SHARE, dtype=np.uint8), (n_levels, 1))
    alphas = np.rint(255 * np.linspace(0, 1, n_levels) ** 0.7).astype(np.uint8)
    return _as_address(encode_png(levels.astype(np.uint8), colours, alphas))


def heat_palette(n_levels: int) -> np.ndarray:
    """Colours (N, 3) from black over violet and orange to light yellow, ever lighter."""
    places = np.linspace(0, len(_HEAT) - 1, n_levels)
    channels = np.array(_HEAT, dtype=float).T
    colours = [np.interp(places, range(len(_HEAT)), channel) for channel in channels]
    return np.stack(colours, 1).round().astype(np.uint8)


def draw_heat(levels: np.ndarray, n_levels: int) -> str:
    """Levels (H, W) from 0 to n_levels - 1, the first row at the bottom, as the address of a picture.

    >>> draw_heat(np.array([[0, 15]]), 16)[:22]
    'data:image/png;base64,'
    """
    return _as_address(encode_png(levels.astype(np.uint8)[::-1], heat_palette(n_levels)))


def _as_address(png: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(png).decode()


def encode_png(indices: np.ndarray, colours: np.ndarray, alphas: np.ndarray | None = None) -> bytes:
    """A picture (H, W) of indices into colours (N, 3), N at most 256 (PNG specification, colour type 3).

    alphas: (N,) from 0, clear, to 255; without them no colour is clear.
    """
    height, width = indices.shape
    rows = np.concatenate([np.zeros((height, 1), np.uint8), indices], 1)  # filter type 0 before each row
    header = struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0)
    parts = [(b"IHDR", header), (b"PLTE", colours.tobytes())]
    parts += [] if alphas is None else [(b"tRNS", alphas.tobytes())]
    parts += [(b"IDAT", zlib.compress(rows.tobytes(), 9)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(*part) for part in parts)


def _chunk(kind: bytes, content: bytes) -> bytes:
    check = struct.pack(">I", zlib.crc32(kind + content))
    return struct.pack(">I", len(content)) + kind + content + check
