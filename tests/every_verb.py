"""What must hold for whatever generator was brought: every verb works on every layer."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from graftscope.client import Blend, Client, Edit, Intervention, Layer, Model, Rectangle, Swap

PAIRS = 2

TOLERANCE = 1e-5
"""As a share of the range's width: a blend of weight 1 multiplies and adds, a swap selects."""


def goes_through_every_verb(folder: Path, state: Path) -> None:
    """Check hybrids at every layer, several layers, influence and modules on an embedded server.

    Args:
        folder: The bundle's.
        state: A folder for the server.
    """
    with Client(bundles=[folder], state=state) as client:
        (model,) = client.models()
        for layer in model.layers:
            _both_paths_agree(client, model, layer)
        _several_layers_are_more_than_one(client, model)
        _modules_are_found(client, model)


def _both_paths_agree(client: Client, model: Model, layer: Layer) -> None:
    """A swap through many sets' splice is a blend of weight 1 through the general path."""
    channels = list(range(0, layer.channels, 2))
    fast = client.hybridize(model.name, layer.name, channels, pairs=PAIRS)
    general = _hybrid(client, model, Edit(layer.name, channels, action=Blend(1.0)))
    _close(model, general, fast.hybrid)
    assert np.abs(fast.hybrid - fast.original1).max() > 0, layer.name
    nothing = client.hybridize(model.name, layer.name, [], pairs=PAIRS)
    np.testing.assert_array_equal(nothing.hybrid, nothing.original1)


def _several_layers_are_more_than_one(client: Client, model: Model) -> None:
    """Two layers change more than one does; two halves of a map are the whole of it."""
    first, *_, last = model.layers
    edits = [Edit(each.name, [0], action=Swap()) for each in (first, last)]
    both = _hybrid(client, model, *edits)
    alone = _hybrid(client, model, edits[1])
    assert np.abs(both - alone).max() > 0
    maps = [each for each in model.layers if min(each.height, each.width) > 1]
    for layer in maps[-1:]:
        half = Rectangle(0, 0, layer.height // 2, layer.width)
        channels = list(range(layer.channels))
        masked = Edit(layer.name, channels, mask=half)
        rest = Rectangle(layer.height // 2, 0, layer.height - layer.height // 2, layer.width)
        whole = _hybrid(client, model, masked, Edit(layer.name, channels, mask=rest))
        _close(model, whole, client.hybridize(model.name, layer.name, channels, pairs=PAIRS).hybrid)


def _modules_are_found(client: Client, model: Model) -> None:
    """Influence and modules of a layer of every kind: a map, a vector, tokens."""
    for layer in {layer.kind: layer for layer in model.layers}.values():
        found = client.influence(model.name, layer.name, pairs=PAIRS)
        assert found.maps.shape[0] == layer.channels
        assert np.isfinite(found.maps).all()
        assert found.individual.max() > 0
        modules = client.modules(found, k=2)
        assert set(np.unique(modules.labels)) <= {-1, 0, 1}


def _hybrid(client: Client, model: Model, *edits: Edit) -> NDArray[np.float32]:
    return client.hybridize(model.name, intervention=Intervention(edits), pairs=PAIRS).hybrid


def _close(model: Model, found: NDArray[np.float32], expected: NDArray[np.float32]) -> None:
    low, high = model.image.range
    np.testing.assert_allclose(found, expected, rtol=0, atol=TOLERANCE * (high - low))
