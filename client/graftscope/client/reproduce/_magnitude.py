"""How much modules change the image (Fig. 3 right): what is drawn, and what section 4.1 says."""

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from graftscope.client.figures import paper
from graftscope.client.reproduce._reproduction import Claim, verdict
from graftscope.client.reproduce._study import Study
from graftscope.client.values import MagnitudeResult, Regression

_FIT = 0.5
_LITTLE = 2.0
_ROWS = ("layer", "k", "module", "channels", "share", "individual", "individual_stderr")


def magnitude_drawn(study: Study, found: MagnitudeResult) -> paper.Magnitude:
    """Make the figure's input."""
    model = study.model(found.model.partition("@")[0])
    rows = [model.layer(name) for name in found.layers]
    return paper.Magnitude(
        layers=[
            paper.LayerMagnitude(
                level=layer.level or layer.name,
                total=layer.channels,
                k=found.k[found.layer == layer.name],
                channels=found.channels[found.layer == layer.name],
                individual=paper.ErrorBars(
                    found.individual_share[found.layer == layer.name],
                    found.individual_stderr[found.layer == layer.name] / found.range_width,
                ),
                on_channels=_line(line, found.range_width),
            )
            for layer, line in zip(rows, found.by_channels, strict=False)
        ],
        pooled=_line(found.by_share[-1], found.range_width),
    )


def _line(line: Regression, width: float) -> paper.Line:
    return paper.Line(line.slope / width, line.intercept / width, line.r2)


def magnitude_numbers(found: MagnitudeResult) -> dict[str, object]:
    """Make the numbers ready for JSON."""
    return {
        "layers": found.layers,
        "range_width": found.range_width,
        "rows": {name: getattr(found, name) for name in _ROWS},
        "by_share": [vars(line) for line in found.by_share],
        "by_channels": [vars(line) for line in found.by_channels],
    }


def magnitude_claims(study: Study, found: MagnitudeResult) -> list[Claim]:
    """Lay the claims beside the numbers.

    Args:
        study: For the levels' names.
        found: Of the last three layers.
    """
    model = study.model(found.model.partition("@")[0])
    levels = [model.layer(name).level or name for name in found.layers]
    return [
        _falls_with_k(found, levels),
        _grows_with_channels(found, levels),
        _share_explains(found),
        _layer_matters_little(found, levels),
        _image_level_scatters(found, levels),
    ]


def _rows(found: MagnitudeResult, index: int) -> NDArray[np.bool_]:
    return np.asarray(found.layer == found.layers[index], dtype=bool)


def _falls_with_k(found: MagnitudeResult, levels: list[str]) -> Claim:
    told, good = [], 0
    for i, level in enumerate(levels):
        rows = _rows(found, i)
        ks = np.unique(found.k[rows])
        means = [float(found.individual_share[rows & (found.k == k)].mean()) for k in ks]
        falling = sum(b < a for a, b in pairwise(means))
        good += falling == len(means) - 1
        told.append(
            f"{level} from {100 * means[0]:.1f} % of the range at K = {ks[0]} to "
            f"{100 * means[-1]:.1f} % at K = {ks[-1]}, lower in {falling} of {len(means) - 1} steps"
        )
    return Claim(
        section="4.1, Fig. 3",
        claim="The magnitude of the causal effect decreases with the number of clusters.",
        measured=f"Mean individual influence over modules: {'; '.join(told)}.",
        criterion="The mean falls at every step of K in every layer; partly if in some.",
        verdict=verdict(agrees=good == len(levels), partly=good > 0),
    )


def _grows_with_channels(found: MagnitudeResult, levels: list[str]) -> Claim:
    lines = found.by_channels[:-1]
    told = ", ".join(
        f"{level} r² {line.r2:.2f} (slope {100 * line.slope / found.range_width:.3f} ± "
        f"{100 * line.slope_stderr / found.range_width:.3f} % of the range a channel)"
        for level, line in zip(levels, lines, strict=True)
    )
    good = [line.slope > 2 * line.slope_stderr and line.r2 > _FIT for line in lines]
    return Claim(
        section="4.1, Fig. 3",
        claim="Individual influence increases with the number of channels of a module, as linear "
        "fits illustrate.",
        measured=f"{told}.",
        criterion=f"A slope above two standard errors and r² above {_FIT} in every layer; partly "
        "if in some.",
        verdict=verdict(agrees=all(good), partly=any(good)),
    )


def _share_explains(found: MagnitudeResult) -> Claim:
    by_share, by_channels = found.by_share[-1], found.by_channels[-1]
    return Claim(
        section="4.1",
        claim="A module's influence reflects its channels' proportion of the layer, which explains "
        "why layers differ at equal numbers of channels.",
        measured=f"All layers pooled: r² {by_share.r2:.2f} on the share, {by_channels.r2:.2f} on "
        "the number of channels.",
        criterion=f"r² on the share is above {_FIT} and above that on the number; partly if one.",
        verdict=verdict(
            agrees=by_share.r2 > max(_FIT, by_channels.r2),
            partly=by_share.r2 > _FIT or by_share.r2 > by_channels.r2,
        ),
    )


def _layer_matters_little(found: MagnitudeResult, levels: list[str]) -> Claim:
    # At one share, that of a third of the layer, so that sizes do not enter.
    at = [
        100 * (line.intercept + line.slope / 3) / found.range_width for line in found.by_share[:-1]
    ]
    told = ", ".join(f"{level} {value:.2f} %" for level, value in zip(levels, at, strict=True))
    ratio = max(at) / min(at) if min(at) > 0 else float("inf")
    return Claim(
        section="4.1",
        claim="The magnitude is only weakly influenced by the choice of the layer.",
        measured=f"Each layer's line at a third of its channels: {told} of the range, the largest "
        f"{ratio:.1f} times the smallest.",
        criterion=f"The largest is below {_LITTLE:g} times the smallest; partly if that holds for "
        "two neighbouring layers.",
        verdict=verdict(
            agrees=ratio < _LITTLE,
            partly=any(max(pair) < _LITTLE * min(pair) for pair in pairwise(at)),
        ),
    )


def _image_level_scatters(found: MagnitudeResult, levels: list[str]) -> Claim:
    lines = found.by_share[:-1]
    # The spread that the line leaves, against what it says at the mean size of its modules.
    spread = []
    for i, line in enumerate(lines):
        typical = float(found.individual[_rows(found, i)].mean())
        spread.append(line.residual / typical if typical > 0 else float("nan"))
    told = ", ".join(
        f"{level} r² {line.r2:.2f}, residual spread {100 * each:.0f} % of the mean"
        for level, line, each in zip(levels, lines, spread, strict=True)
    )
    worst_fit = min(range(len(lines)), key=lambda i: lines[i].r2) == len(lines) - 1
    most_spread = int(np.argmax(spread)) == len(lines) - 1
    return Claim(
        section="4.1",
        claim="Modules of one size differ most in the layer closest to the output, where the "
        "linear fit is poorest.",
        measured=f"{told}.",
        criterion="The last layer has the lowest r² and the largest relative spread; partly if one "
        "of the two.",
        verdict=verdict(agrees=worst_fit and most_spread, partly=worst_fit or most_spread),
    )
