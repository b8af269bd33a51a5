"""Spectral independence of successive layers: do kernels know the spectrum of what they read?

The criterion is that of Shajarisales, Janzing, Schölkopf and Besserve (ICML 2015, "Telling cause
from effect in deterministic linear dynamical systems"): if a linear filter h was chosen
independently of its input x, the filter's power does not depend on where the input has its own, so
that the spectral density ratio

    rho = <S_x |ĥ|²> / (<S_x> <|ĥ|²>)

is about 1, where <.> is the mean over frequencies. It is above 1 if the kernel passes what the
input is strong in, and below 1 if it passes what the input is weak in.

Here x is a channel's activation map of the upper layer, h the kernel of the (transposed)
convolution that leads from this channel to one channel of the next layer, and

- S_x is the mean over samples of |DFT(x - its mean over the map)|², in two dimensions: the maps
  behind a ReLU are positive, and with the mean the zero frequency would decide alone. So <.> runs
  over all frequencies but zero.
- ĥ is the kernel's Fourier transform at the frequencies of the map: borders are periodic.
- A convolution that upsamples by a stride (a transposed one) reads the map with zeros between its
  pixels, whose spectrum repeats S_x once for each phase. So |ĥ|², at the output's resolution, is
  averaged over the repetitions of each frequency; those of the zero frequency are left out.
- Of a convolution whose stride skips outputs, ĥ is that of all of them.
- The score is the mean of rho over all pairs of channels, and its standard error over samples is
  the jackknife's. A channel that never varies, and a kernel of zeros, have none and are left out.

Beside it stands the same mean with each channel given the kernels of the other channels. It tells
how far a layer's kernels suit its maps in common; the difference from it is what each kernel knows
of its own channel.

Axes: G groups of samples, B samples, C channels, O outputs that a channel leads to, H, W the map,
P = H W - 1 frequencies. This module must not know graphs.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from graftscope.server.analysis._errors import InvalidInputError
from graftscope.server.analysis._jackknife import jackknife_stderr


@dataclass(frozen=True, eq=False)
class Kernels:
    """What leads from the channels of a layer to those of the next one.

    Attributes:
        values: Shape (C, O, kh, kw): the kernels from each channel to the outputs it leads to.
        upsampling: By how many the map's rows and columns are spread, with zeros between.
        dilation: Pixels from one of the kernel's entries to the next.
    """

    values: npt.NDArray[np.float64]
    upsampling: tuple[int, int] = (1, 1)
    dilation: tuple[int, int] = (1, 1)


@dataclass(frozen=True, eq=False)
class SpectralScore:
    """The mean of rho, with standard errors over samples.

    Attributes:
        score: Of each channel with its own kernels.
        stderr: Its standard error.
        swapped: Of each channel with the kernels of the others; NaN where there is one channel.
        swapped_stderr: Its standard error.
        spread: Standard deviation of rho over pairs of channels.
        channel_pairs: How many pairs have one.
    """

    score: float
    stderr: float
    swapped: float
    swapped_stderr: float
    spread: float
    channel_pairs: int


def power_spectra(maps: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
    """Adds up the power of maps: (B, C, H, W) to (C, H, W), 0 at frequency zero."""
    values = maps.astype(np.float64)
    values -= values.mean(axis=(2, 3), keepdims=True)
    power: npt.NDArray[np.float64] = (np.abs(np.fft.fft2(values)) ** 2).sum(axis=0)
    power[:, 0, 0] = 0.0  # Rounding may leave a trace of the mean.
    return power


def kernel_gains(kernels: Kernels, height: int, width: int) -> npt.NDArray[np.float64]:
    """The power that each kernel passes of each frequency of a map.

    Returns:
        Shape (C, O, H, W): |ĥ|², the mean over the repetitions of a frequency.
    """
    channels, outputs, *size = kernels.values.shape
    down, right = kernels.upsampling
    large = np.zeros((channels, outputs, height * down, width * right))
    # A kernel that is larger than the map wraps around, which samples its transform.
    rows, columns = (
        np.arange(count) * dilation % side
        for count, dilation, side in zip(size, kernels.dilation, large.shape[2:], strict=True)
    )
    for i, row in enumerate(rows):
        for j, column in enumerate(columns):
            large[:, :, row, column] += kernels.values[:, :, i, j]
    power = np.abs(np.fft.fft2(large)) ** 2
    repeated = power.reshape(channels, outputs, down, height, right, width)
    return np.asarray(repeated.mean(axis=(2, 4)))


def spectral_independence(power: npt.NDArray[np.floating], kernels: Kernels) -> SpectralScore:
    """Scores how independent kernels are of the spectrum of the maps that they read.

    Args:
        power: Shape (G, C, H, W): `power_spectra` of each of G groups of samples of about the same
            size, at least 2.
        kernels: Of as many channels.

    Returns:
        The score, 1 where the kernels are independent of the maps.

    Raises:
        InvalidInputError: The map is a single pixel, or the channels differ in number, or no
            channel varies, or all kernels are 0.
    """
    groups, channels, height, width = power.shape
    if height * width < 2:
        raise InvalidInputError("a map of a single pixel has no spectrum", "power")
    if len(kernels.values) != channels:
        raise InvalidInputError(
            f"kernels of {len(kernels.values)} channels do not read {channels} channels", "kernels"
        )
    by_group = power.reshape(groups, channels, -1)[:, :, 1:].astype(np.float64)  # (G, C, P)
    total = by_group.sum(axis=0)
    gains, each, counts = _against(total, kernels, height, width)
    if not each.size:
        raise InvalidInputError("no channel varies, or all kernels are 0", "power")
    score, swapped = _means(total, gains, counts)
    left = np.array([_means(total - group, gains, counts) for group in by_group])
    stderr, swapped_stderr = jackknife_stderr(left)
    return SpectralScore(
        score, float(stderr), swapped, float(swapped_stderr), float(each.std()), each.size
    )


def _against(
    power: npt.NDArray[np.float64], kernels: Kernels, height: int, width: int
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    """Each channel's kernels against its own spectrum, one channel after another.

    Returns:
        (C, P) the mean of its kernels' gains, each of mean 1; rho of every pair that has one; (C,)
        how many kernels of each channel are not 0.
    """
    gains = np.zeros_like(power)
    counts = np.zeros(len(power), dtype=np.int64)
    each = []
    for channel, values in enumerate(kernels.values):
        alone = Kernels(values[np.newaxis], kernels.upsampling, kernels.dilation)
        found = kernel_gains(alone, height, width)[0].reshape(len(values), -1)[:, 1:]  # (O, P)
        means = found.mean(axis=1)
        found = found[means > 0] / means[means > 0, np.newaxis]
        counts[channel] = len(found)
        if not len(found):
            continue
        gains[channel] = found.mean(axis=0)
        if power[channel].any():
            each.append(found @ power[channel] / power[channel].sum())
    return gains, np.concatenate(each) if each else np.zeros(0), counts


def _means(
    power: npt.NDArray[np.float64],
    gains: npt.NDArray[np.float64],
    counts: npt.NDArray[np.int64],
) -> tuple[float, float]:
    """The mean of rho over channels with their own kernels, and with those of the others."""
    sums = power.sum(axis=1)
    varies = sums > 0
    if not counts[varies].any():
        return np.nan, np.nan
    shares = power[varies] / sums[varies, np.newaxis]  # (C, P)
    own = np.einsum("cp,cp->c", shares, gains[varies])
    score = float(own @ counts[varies] / counts[varies].sum())
    # With all channels' kernels, less each channel's own.
    among = shares.sum(axis=0) @ gains.T  # (C,) of the kernels of each channel
    among[varies] -= own
    partners = np.where(varies, len(shares) - 1, len(shares)) * counts
    if not partners.any():
        return score, np.nan
    return score, float(among @ counts / partners.sum())
