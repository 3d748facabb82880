"""Pieces of large documents: cut by content, named by their hash.

Where a piece ends depends on the last 32 bytes before, and on nothing else (content-defined chunking with a gear hash,
as in FastCDC). So an insertion changes the piece in which it lies, and mostly no other: the cuts after it stay with
their bytes. Cutting 5 MB takes some tenths of a second, of the writer alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import blake2b

LEAST = 16 * 1024  # bytes of a piece; the last one may have less
LARGEST = 128 * 1024
MEAN = 48 * 1024  # of a piece, about: `LEAST`, and the mean distance of two cuts

_MASK = 0x7FFF << 17  # a cut is where these bits of the hash are 0, once in 32 KiB: the highest ones, of most bytes
_WORD = 0xFFFFFFFF
# One number for each byte. Other numbers would cut all documents in other places.
_GEAR = [int.from_bytes(blake2b(bytes([byte]), digest_size=4).digest()) for byte in range(256)]


def cut(data: bytes) -> Iterator[bytes]:
    """Yield the pieces of `data`, in order."""
    start = 0
    while len(data) - start > LEAST:
        end = _end(data, start)
        yield data[start:end]
        start = end
    if start < len(data):
        yield data[start:]


def name_of_piece(piece: bytes) -> str:
    """Return the name of a piece: the hash of its content."""
    return blake2b(piece, digest_size=16).hexdigest()


def _end(data: bytes, start: int) -> int:
    gear, mask, word = _GEAR, _MASK, _WORD  # the loop runs once for each byte
    value = 0
    first = start + LEAST
    most = min(len(data), start + LARGEST)
    for at, byte in enumerate(data[first - 32 : most], first - 31):
        value = (value << 1) + gear[byte] & word
        if not value & mask and at >= first:
            return at
    return most
