"""A model's measurements as the rows of a table: in words, each with its deviation.

It must not know HTML. The names are those that `graftscope train` and `quality` write into a
bundle; a name from elsewhere stands as it is.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from graftscope.client.report._wording import number, with_deviation

_DEVIATION = "_deviation"

_NAMES = {
    "reconstruction_mse": (
        "Error of images that are encoded and generated again",
        "mean square over pixels and colours, in squared image units",
    ),
    "sampled_reconstruction_mse": (
        "The same with latents drawn from what the encoder infers",
        "not taken at their mean; in squared image units",
    ),
    "kl": (
        "How much the latents tell of an image",
        "divergence of the encoder's posterior from the prior, summed over latents, in nats",
    ),
    "feature_accuracy": (
        "Accuracy of the network behind the distances",
        "share of right answers on images held out from it",
    ),
}
_DISTANCES = {
    "frechet": ("Fréchet distance", "squared, of learnt features; smaller is closer"),
    "kernel": ("Kernel distance", "of learnt features, near 0 for equal distributions"),
}
_SOURCES = {
    "prior": "samples from the prior",
    "encoded": "samples from the Gaussian of encodings",
    "halves": "the other half of the real images",
    "noise": "noise with each pixel's mean and spread",
}


@dataclass(frozen=True)
class Measurement:
    """One row.

    Attributes:
        name: What was measured, in words.
        note: How, and in which unit; or nothing.
        value: Its value, with ± its standard deviation where one is known.
    """

    name: str
    note: str
    value: str


def measurements(metrics: Mapping[str, float]) -> tuple[Measurement, ...]:
    """Make a table's rows, sorted by name, of the metrics of a bundle.

    Args:
        metrics: Values by name; ``x_deviation`` is the standard deviation of ``x``.

    Returns:
        A row for every value; a deviation without its value has a row of its own.
    """
    rows = []
    for name, value in metrics.items():
        if name.endswith(_DEVIATION) and name.removesuffix(_DEVIATION) in metrics:
            continue
        deviation = metrics.get(name + _DEVIATION)
        told = number(value) if deviation is None else with_deviation(value, deviation)
        rows.append(Measurement(*_words(name), told))
    return tuple(sorted(rows, key=lambda row: row.name.lower()))


def _words(name: str) -> tuple[str, str]:
    if name in _NAMES:
        return _NAMES[name]
    distance, _, source = name.partition("_")
    if distance in _DISTANCES and source in _SOURCES:
        words, note = _DISTANCES[distance]
        return f"{words}: {_SOURCES[source]}", note
    return name.replace("_", " "), ""
