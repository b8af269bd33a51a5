"""How much of what one module does to an encoder's latents lies along what another one does.

Axes: N pairs, K modules, Z latents, G groups of pairs. This module must not know encoders.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from graftscope.server.analysis._errors import finite_array
from graftscope.server.analysis._jackknife import group_bounds, jackknife_stderr


@dataclass(frozen=True, eq=False)
class LatentResponses:
    """Shares of squared changes of latents.

    Attributes:
        shares: Entry (i, j) is the share of module i's squared change that lies along module j's
            change of the same pair, shape (K, K), 0 to 1; 1 on the diagonal. Changes in random
            directions share 1 / Z. NaN in the row of a module that changes nothing.
        stderr: Standard errors over pairs, shape (K, K).
    """

    shares: npt.NDArray[np.float64]
    stderr: npt.NDArray[np.float64]


def latent_responses(changes: npt.ArrayLike) -> LatentResponses:
    """Projects each module's change of the latents on each other one's, pair by pair.

    With v_i the difference of the latents that the encoder finds in the hybrid of module i and in
    original 1, entry (i, j) is the mean over pairs of (v_i · v_j)² / |v_j|², divided by the mean
    over pairs of |v_i|². It is 0 if the modules change the latents at right angles, in every pair.

    Args:
        changes: v, shape (N, K, Z), of at least 64 pairs; neighbours make up the groups that are
            left out for the standard errors.

    Raises:
        InvalidInputError: The array is not finite, has another shape, or too few pairs.
    """
    values = finite_array("changes", changes, "NKZ")
    bounds = group_bounds(len(values))
    products = values @ values.transpose(0, 2, 1)  # (N, K, K)
    squares = np.diagonal(products, axis1=1, axis2=2)  # (N, K)
    along = np.divide(
        products**2,
        squares[:, np.newaxis, :],
        out=np.zeros_like(products),
        where=squares[:, np.newaxis, :] > 0,
    )
    parts, wholes = (np.add.reduceat(each, bounds[:-1]) for each in (along, squares))
    left_out = _shares(parts.sum(axis=0) - parts, wholes.sum(axis=0) - wholes)
    shares = _shares(parts.sum(axis=0), wholes.sum(axis=0))
    return LatentResponses(shares, jackknife_stderr(left_out))


def _shares(
    parts: npt.NDArray[np.float64], wholes: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """Parts (..., K, K) of wholes (..., K)."""
    whole = np.broadcast_to(wholes[..., np.newaxis], parts.shape)
    shares = np.full(parts.shape, np.nan)
    np.divide(parts, whole, out=shares, where=whole > 0)
    return shares
