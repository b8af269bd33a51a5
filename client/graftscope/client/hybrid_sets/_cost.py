"""What a set of hybrids costs, told before it is made."""

import time
from dataclasses import dataclass

from graftscope.client._client import Client
from graftscope.client.hybrid_sets._making import PAIRS_A_CALL, SetMaker
from graftscope.client.hybrid_sets._wanted import HybridSet


@dataclass(frozen=True)
class SetCost:
    """What a set costs, told from one call's images of it.

    Args:
        images: How many there are.
        image_bytes: What their files take together.
        duration_s: How long it takes to make them.
    """

    images: int
    image_bytes: int
    duration_s: float


def set_cost(client: Client, wanted: HybridSet) -> SetCost:
    """Make the images of some pairs, throw them away, and say what all of them cost.

    Args:
        client: Of a server that has the model.
        wanted: Which hybrids.

    Raises:
        InputError: If the layer is not the model's, or has another number of channels.
        NotFoundError: If the server does not have the model.
    """
    model = client.model(wanted.model)
    wanted.recipe(model)
    maker = SetMaker(client, wanted, model)
    pairs = range(min(PAIRS_A_CALL, wanted.pairs))
    maker.made(pairs[:1])  # Sessions open with the first.
    begun = time.perf_counter()
    made = maker.made(pairs)
    took_s = time.perf_counter() - begun
    share = wanted.pairs / len(pairs)
    count_bytes = sum(len(each.png) for each in made)
    return SetCost(wanted.images, round(count_bytes * share), took_s * share)
