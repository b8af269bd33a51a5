"""Many images decoded, in worker processes where that pays.

Workers import this module, so it must not import torch.
"""

import multiprocessing
import os
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from itertools import islice
from typing import TypeAlias

from graftscope.training._images import EncodedImage, Pixels, UnreadableImage, decode_image
from graftscope.training.errors import DataError

# Starting workers costs about a second, in which one process decodes this many small images.
_WORTH_WORKERS = 4000
_CHUNK = 256

_Decoded: TypeAlias = Pixels | UnreadableImage


def decode_all(
    encoded: Iterator[EncodedImage], count: int, *, size: int, crop_share: float
) -> Iterator[_Decoded]:
    """Decode images in their order.

    Args:
        encoded: The images as a source yields them.
        count: How many there are; it decides whether workers are started.
        size: Height and width of the results in pixels.
        crop_share: See `decode_image`.

    Yields:
        Pixels (size, size, 3), or why there are none.

    Raises:
        DataError: If a worker process dies.
    """
    decode = partial(_decode_chunk, size=size, crop_share=crop_share)
    chunks = iter(lambda: list(islice(encoded, _CHUNK)), [])
    alone = count < _WORTH_WORKERS
    results = map(decode, chunks) if alone else _in_workers(decode, chunks)
    try:
        for chunk in results:
            yield from chunk
    except BrokenProcessPool as error:
        raise DataError(
            "a worker process died while it decoded images; a script that trains must do so "
            "under `if __name__ == '__main__':`, because workers import it"
        ) from error


def _decode_chunk(chunk: list[EncodedImage], *, size: int, crop_share: float) -> list[_Decoded]:
    return [decode_image(encoded, size=size, crop_share=crop_share) for encoded in chunk]


def _in_workers(
    decode: "partial[list[_Decoded]]", chunks: Iterable[list[EncodedImage]]
) -> Iterator[list[_Decoded]]:
    workers = os.cpu_count() or 1
    # A forked child would inherit the locks of the parent's threads (torch's, gRPC's).
    context = multiprocessing.get_context("spawn")
    pending: deque[Future[list[_Decoded]]] = deque()
    with ProcessPoolExecutor(workers, mp_context=context) as pool:
        for chunk in chunks:
            pending.append(pool.submit(decode, chunk))
            # A bound on what waits: the encoded images may be larger than the memory.
            if len(pending) > 2 * workers:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
