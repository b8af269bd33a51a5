"""What runs, samples and hybrids take of memory, before anything is allocated.

Peaks of one request, beside what open sessions hold; compared with what a server really takes in
tests/reliability/test_memory_reckoning.py. It must not know messages or jobs.
"""

import math

from graftscope.codec import DATATYPES
from graftscope.server.engine._edits import Intervention
from graftscope.server.engine._exploration import RECORDINGS_KEPT
from graftscope.server.engine._generator import LARGE_BYTES, TENSORS_A_RUN, Generator
from graftscope.server.engine._memory import MIB
from graftscope.server.engine._samples_and_hybrids import (
    grafting,
    samples_a_run,
    sampling,
)

CALL_BYTES = 8 * MIB
"""Whatever is asked for: messages, stacks of threads, what the allocator keeps."""

ENCODED_A_RUN = 32
"""Images that the encoder takes in one run."""

_FLOAT_BYTES = 4

# What is held of an image while photographs are changed: photographs and edited ones as they are
# kept, and twice as much on the way.
_TENSORS_A_PHOTOGRAPH = 5


def image_bytes(generator: Generator) -> int:
    """One image in float32."""
    return math.prod(generator.image_shape) * _FLOAT_BYTES


def latent_bytes(generator: Generator) -> int:
    """One sample's inputs."""
    inputs = generator.manifest.inputs
    return sum(math.prod(x.shape) * DATATYPES[x.datatype].itemsize for x in inputs)


def run_bytes(generator: Generator, samples: int) -> int:
    """A run of so many samples."""
    return TENSORS_A_RUN * samples * generator.widest_bytes()


def largest_run_bytes(generator: Generator) -> int:
    """A run of a job, which is cut so that its widest tensor suits a core's cache if it can."""
    widest = generator.widest_bytes()
    return run_bytes(generator, max(1, LARGE_BYTES // widest))


def samples_bytes(generator: Generator, count: int, *, files: bool) -> int:
    """Samples with their latents: the reply, and one run.

    Args:
        generator: what makes them.
        count: how many.
        files: whether they are sent as files.
    """
    images = count * (image_bytes(generator) + _file_bytes(generator, files))
    reply = images + count * latent_bytes(generator)
    return CALL_BYTES + reply + run_bytes(generator, min(count, sampling(generator).limit))


def hybrids_bytes(
    generator: Generator, pairs: int, intervention: Intervention, *, files: bool, photographs: bool
) -> int:
    """Both originals and the hybrid of every pair: the reply, and one run.

    Args:
        generator: what makes them.
        pairs: how many.
        intervention: what is done with each.
        files: whether they are sent as files.
        photographs: whether what changes is added to photographs.
    """
    tensors = 3 + (_TENSORS_A_PHOTOGRAPH if photographs else 0)
    reply = pairs * (tensors * image_bytes(generator) + _file_bytes(generator, files))
    a_run = min(pairs, grafting(generator, intervention).limit)
    return CALL_BYTES + reply + run_bytes(generator, 3 * a_run)


def half_bytes(generator: Generator, samples: int, arrays: int) -> int:
    """Samples through a half: what goes in and comes out; a run.

    Args:
        generator: whose half.
        samples: how many.
        arrays: bytes of what goes in and of what comes out.
    """
    run = run_bytes(generator, min(samples, samples_a_run(generator)))
    return CALL_BYTES + arrays + run


def exploration_bytes(generator: Generator, pairs: int, *, files: bool) -> int:
    """Pairs that are explored: what is kept of them, an answer and its run.

    Args:
        generator: what makes them.
        pairs: how many.
        files: whether images are sent as files.
    """
    kept = 2 * pairs * (latent_bytes(generator) + RECORDINGS_KEPT * generator.widest_bytes())
    reply = pairs * (3 * image_bytes(generator) + _file_bytes(generator, files))
    return CALL_BYTES + kept + reply + run_bytes(generator, 3 * pairs)


def encodings_bytes(generator: Generator, count: int) -> int:
    """Posteriors of images, beside the images: means and variances, in parts and joined; a run."""
    latents = 4 * count * latent_bytes(generator)
    return CALL_BYTES + latents + run_bytes(generator, min(count, ENCODED_A_RUN))


def _file_bytes(generator: Generator, files: bool) -> int:
    """A file takes no more than its pixels, a quarter of the floats; twice, once it is joined."""
    return image_bytes(generator) // 2 if files else 0
