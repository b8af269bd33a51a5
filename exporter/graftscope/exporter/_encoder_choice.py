"""What a caller says of an encoder, and which of its outputs are the posterior's parameters.

Rules, where Z is the number of elements of a latent input of the generator
1. What is named is taken: the mean, or the mean and the log-variance.
2. A single output of Z elements is the mean. One of 2 Z holds the mean in its first half and the
   log-variance in its second.
3. Of several outputs of Z elements those are taken whose names say what they are (`mean` or `mu`,
   `log_variance` or `logvar`). Of two whose names say nothing, the first is the mean and the second
   the log-variance.
4. What was taken for what is said; what cannot be told is refused.

It knows neither graphs nor PyTorch.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Final

from graftscope.exporter.errors import SourceError

Shape = tuple[int, ...]
"""Extents behind the batch."""

Range = tuple[float, float]

_MEANS: Final = frozenset({"mean", "means", "mu", "loc"})
_LOG_VARIANCES: Final = frozenset(
    {"logvar", "logvars", "logvariance", "logvariances", "lnvar", "logsigma2", "logsigmasq"}
)
_DEVIATIONS: Final = frozenset(
    {"std", "stddev", "stds", "scale", "sigma", "sigmas", "var", "variance", "logstd", "logsigma"}
)
_SAMPLES: Final = frozenset({"sample", "samples", "z", "latent", "latents", "reparameterized"})


@dataclass(frozen=True)
class EncoderChoice:
    """What a caller says of an encoder.

    Attributes:
        source: An .onnx file, or `package.module:function`.
        outputs: The mean's name, or those of the mean and the log-variance; empty if not said.
        image_range: Between which values it expects pixels; None for the generator's range.
        weights: `FILE` or `FILE:KEY`, weights for what a factory makes; else None.
        data: Photographs that originals are fitted to; None for no originals.
    """

    source: str
    outputs: tuple[str, ...] = ()
    image_range: Range | None = None
    weights: str | None = None
    data: str | None = None


def encoder_choice(
    source: str | None,
    outputs: Sequence[str],
    image_range: Range | None,
    weights: str | None,
    data: str | None,
) -> EncoderChoice | None:
    """Check what is said of an encoder; the arguments are the attributes of `EncoderChoice`.

    Raises:
        SourceError: If something is said of an encoder and none is given, or a value is not
            allowed.
    """
    said = {
        "--encoder-outputs": outputs,
        "--encoder-range": image_range,
        "--encoder-weights": weights,
        "--data": data,
    }
    if source is None:
        if given := [option for option, value in said.items() if value]:
            raise SourceError(
                f"{', '.join(given)} is for an encoder: give it with --encoder SOURCE"
            )
        return None
    if len(outputs) > 2 or len(set(outputs)) < len(outputs) or not all(outputs):
        raise SourceError(
            f"--encoder-outputs {','.join(outputs)} cannot be read; allowed: the mean's name, or "
            "those of the mean and the log-variance, MEAN,LOG_VARIANCE"
        )
    if image_range is not None and not image_range[0] < image_range[1]:
        raise SourceError(
            f"--encoder-range {image_range[0]:g},{image_range[1]:g} is empty: LOW must be below "
            "HIGH"
        )
    return EncoderChoice(source, tuple(outputs), image_range, weights, data)


@dataclass(frozen=True)
class Parameters:
    """Where the posterior's parameters are.

    Attributes:
        infers: The generator's input that they are of.
        mean: The mean's output.
        log_variance: The log-variance's; None where there is none of its own.
        halves: The axis (0 is the batch) along which `mean` holds both; else None.
        note: What was taken for what, in one line.
    """

    infers: str
    mean: str
    log_variance: str | None = None
    halves: int | None = None
    note: str = ""


def find_parameters(
    outputs: Mapping[str, Shape], latents: Mapping[str, Shape], wanted: Sequence[str]
) -> Parameters:
    """Tell which of an encoder's outputs are the posterior's mean and log-variance.

    Args:
        outputs: Shapes behind the batch, in the encoder's order, by name.
        latents: The generator's inputs that may be inferred, likewise.
        wanted: What the caller names; may be empty.

    Raises:
        SourceError: If it cannot be told; the message lists the outputs.
    """
    if unknown := [name for name in wanted if name not in outputs]:
        raise SourceError(
            f"--encoder-outputs {unknown[0]!r} is not among the encoder's outputs: "
            f"{_listed(outputs)}"
        )
    given = {name: outputs[name] for name in wanted} if wanted else outputs
    found = [each for name, z in latents.items() if (each := _fitting(given, name, z, wanted))]
    found = [each for each in found if each.halves is None] or found
    if len(found) == 1:
        return found[0]
    if found:
        raise SourceError(
            f"the encoder's outputs fit several inputs of the generator: "
            f"{', '.join(each.infers for each in found)}; only one of its size can be inferred"
        )
    raise SourceError(
        f"the encoder's outputs {_listed(given)} do not fit the generator's latents "
        f"{_listed(latents) or 'none'}: one of them must have a latent's shape, the mean, or twice "
        "that along one axis, mean and log-variance"
    )


def _fitting(
    outputs: Mapping[str, Shape], infers: str, latent: Shape, wanted: Sequence[str]
) -> Parameters | None:
    """Find the parameters of one input, if the encoder has any."""
    same = [name for name, shape in outputs.items() if _matches(shape, latent)]
    if wanted and len(wanted) == len(same):
        mean, *log_variance = wanted
        both = "".join(f", {name!r} its log-variance" for name in log_variance)
        note = f"the encoder's output {mean!r} is the mean of {infers!r}{both}, as named"
        return Parameters(infers, mean, next(iter(log_variance), None), note=note)
    if not same:
        return _doubled(outputs, infers, latent) if len(wanted) < 2 else None
    if wanted:
        return None
    return _alone(same[0], infers) if len(same) == 1 else _named(same, infers)


def _alone(name: str, infers: str) -> Parameters:
    return Parameters(
        infers,
        name,
        note=f"the encoder's output {name!r} is the mean of {infers!r}; it tells no log-variance",
    )


def _doubled(outputs: Mapping[str, Shape], infers: str, latent: Shape) -> Parameters | None:
    for name, shape in outputs.items():
        for axis in _halved(shape, latent):
            return Parameters(
                infers,
                name,
                halves=axis + 1,
                note=f"the encoder's output {name!r} {shape} is twice {infers!r} {latent}: its "
                f"first half along axis {axis + 1} is taken for the mean, the second for the "
                "log-variance",
            )
    return None


def _halved(shape: Shape, latent: Shape) -> Iterator[int]:
    """Yield the axes of which half gives a latent's shape."""
    for axis, extent in enumerate(shape):
        half = (*shape[:axis], extent // 2, *shape[axis + 1 :])
        if extent % 2 == 0 and _matches(half, latent):
            yield axis


def _named(names: Sequence[str], infers: str) -> Parameters:
    """Take several outputs of one shape by what they are called."""
    means = [name for name in names if _says(name, _MEANS)]
    spreads = [name for name in names if _says(name, _LOG_VARIANCES)]
    silent = [name for name in names if not _says(name, _MEANS | _LOG_VARIANCES | _DEVIATIONS)]
    if len(means) == 1 and len(spreads) <= 1:
        left = [name for name in names if name not in (*means, *spreads)]
        unused = f"; {', '.join(map(repr, left))} is not used" if left else ""
        what = f"{spreads[0]!r} its log-variance" if spreads else "no output its log-variance"
        note = f"the encoder's output {means[0]!r} is the mean of {infers!r}, {what}, by name"
        return Parameters(infers, means[0], spreads[0] if spreads else None, note=note + unused)
    if len(names) == 2 and silent == list(names) and not any(_says(x, _SAMPLES) for x in names):
        note = (
            f"the encoder's output {names[0]!r} is taken for the mean of {infers!r}, {names[1]!r} "
            f"for its log-variance, the usual order; if they are not, say "
            f"--encoder-outputs {names[1]},{names[0]}"
        )
        return Parameters(infers, names[0], names[1], note=note)
    raise SourceError(
        f"which of the encoder's outputs {', '.join(map(repr, names))} is the mean of {infers!r} "
        "cannot be told: name it with --encoder-outputs MEAN or MEAN,LOG_VARIANCE"
    )


def _says(name: str, words: frozenset[str]) -> bool:
    """Tell whether a name is one of the words, or ends in one behind a separator."""
    parts = [part for part in re.split(r"[^A-Za-z0-9]+", _separated(name).lower()) if part]
    endings = {"".join(parts[start:]) for start in range(len(parts))}
    return not words.isdisjoint(endings)


def _separated(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name)


def _matches(shape: Shape, latent: Shape) -> bool:
    """Tell whether numbers so arranged are a latent's, but for axes of 1 and for being flat."""
    if prod(shape) != prod(latent):
        return False
    first, second = ([extent for extent in each if extent != 1] for each in (shape, latent))
    return first == second or min(len(first), len(second)) <= 1


def _listed(shapes: Mapping[str, Shape]) -> str:
    return ", ".join(f"{name!r} {shape}" for name, shape in shapes.items())
