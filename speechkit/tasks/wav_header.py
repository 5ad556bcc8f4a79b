"""What the header of a WAV file says of its length: libsndfile takes a file that was cut short as it is."""

import os
import struct
from os import PathLike
from typing import BinaryIO

ENDLESS = 0x7FFF_F000  # sizes from here on are written by programs that did not know the length


def count_missing_bytes(path: str | PathLike[str]) -> int:
    """How many bytes of samples a WAV (or RF64) file lacks; 0 for a whole one, and for any other file.

    A header that tells no length, as of a stream, misses nothing.

    Raises OSError: no such file, or none that may be read.
    """
    with open(path, "rb") as file:
        kind = file.read(12)
        if kind[:4] not in (b"RIFF", b"RF64") or kind[8:] != b"WAVE":
            return 0
        declared = _find_data(file)
        return 0 if declared is None else max(0, declared - (os.fstat(file.fileno()).st_size - file.tell()))


def _find_data(file: BinaryIO) -> int | None:
    """The size of the samples, where the file then stands; None where it is not told."""
    size_of_large = None
    while len(header := file.read(8)) == 8:
        name, size = struct.unpack("<4sI", header)
        if name == b"data":
            size = size_of_large if size == 0xFFFF_FFFF and size_of_large is not None else size
            return size if size > 0 and (size < ENDLESS or size_of_large is not None) else None
        start = file.tell()
        if name == b"ds64" and len(sizes := file.read(16)) == 16:
            size_of_large = struct.unpack("<QQ", sizes)[1]  # of the file, of the samples
        file.seek(start + size + size % 2)
    return None
