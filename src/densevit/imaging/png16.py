"""PNG files with 16 bits per channel, which Pillow writes for gray images only."""

from __future__ import annotations

import struct
import zlib
from typing import IO

import numpy as np
from numpy.typing import NDArray

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_COLOR_TYPES = {3: 2, 4: 6}  # by channels: RGB, RGBA
_FILTER_UP = 2
_STRIP_BYTES = 1 << 22


def write_png16(pixels: NDArray[np.uint16], file: IO[bytes], *, icc_profile: bytes | None = None) -> None:
    """Writes a (H, W, 3) or (H, W, 4) image, a strip of rows at a time (PNG specification, third edition)."""
    height, width, channels = pixels.shape
    file.write(_SIGNATURE)
    _write_chunk(file, b"IHDR", struct.pack(">IIBBBBB", width, height, 16, _COLOR_TYPES[channels], 0, 0, 0))
    if icc_profile is not None:
        _write_chunk(file, b"iCCP", b"ICC profile\0\0" + zlib.compress(icc_profile))
    packer = zlib.compressobj(1)
    rows = max(1, _STRIP_BYTES // (2 * width * channels))
    above = np.zeros((1, 2 * width * channels), np.uint8)
    for top in range(0, height, rows):
        big_endian = pixels[top : top + rows].astype(">u2", order="C")
        lines = big_endian.view(np.uint8).reshape(len(big_endian), -1)
        # each byte minus the byte above it, modulo 256
        filtered = lines - np.concatenate([above, lines[:-1]])
        above = lines[-1:]
        marked = np.concatenate([np.full((len(filtered), 1), _FILTER_UP, np.uint8), filtered], axis=1)
        if packed := packer.compress(marked.tobytes()):
            _write_chunk(file, b"IDAT", packed)
    _write_chunk(file, b"IDAT", packer.flush())
    _write_chunk(file, b"IEND", b"")


def _write_chunk(file: IO[bytes], kind: bytes, content: bytes) -> None:
    file.write(struct.pack(">I", len(content)) + kind + content)
    file.write(struct.pack(">I", zlib.crc32(content, zlib.crc32(kind))))
