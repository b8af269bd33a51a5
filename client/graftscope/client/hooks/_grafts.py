"""One hybrid as PyTorch code: grafts of one layer or of several, each with its weight."""

from collections.abc import Sequence
from dataclasses import dataclass

from graftscope.client.errors import InputError
from graftscope.client.hooks._places import (
    MADE,
    listed,
    torch_hook,
    torch_variables,
    was_trained_here,
)
from graftscope.client.models import LayerKind, Model

_HEAD = """\
# A hybrid of {model}. `model` is the generator as a PyTorch module, after model.eval().
# Original 2 is made first, and recorded; then original 1, which takes channels from it:
#     with graft(donor := {{}}): model({donor})
#     with graft({{}}, donor): hybrid = model({original})
# `model(...)` stands for the call that makes an image, be it a method such as model.decode(...).
{made}{how}
from contextlib import ExitStack

# By module, whether it is what the module is given or returns, which of its calls, and the axis of
# the channels: weights (0 is original 1, 1 original 2), and the channels.
GRAFTS = {{
{grafts}
}}


def graft(seen, donor=None):
    hooks = ExitStack()
    for place, changes in GRAFTS.items():
        hooks.enter_context(hooked(place, changes, seen, donor))
    return hooks


def hooked(place, changes, seen, donor):
    module, given, call, axis = place
    calls = iter(range(1_000_000))

    def changed(value):
        if next(calls) != call:
            return None
        seen[place] = value.clone()
        if not donor:
            return None
        one, two = value.clone(), donor[place].movedim(axis, 1)
        into = one.movedim(axis, 1)
        for weight, channels in changes:
            into[:, channels] += weight * (two[:, channels] - into[:, channels])
        return one

    def before(_, inputs):
        value = changed(inputs[0])
        return None if value is None else (value, *inputs[1:])

    part = model.get_submodule(module)
    if given:
        return part.register_forward_pre_hook(before)
    return part.register_forward_hook(lambda _, inputs, output: changed(output))
"""
_NOISE = """\
# The module draws noise: torch.manual_seed(...) before a run decides it, as for an original's own.
"""
_CHANNEL_AXIS = {LayerKind.MAP: 1, LayerKind.VECTOR: 1, LayerKind.TOKENS: -1}


@dataclass(frozen=True)
class TorchGraft:
    """Channels of a layer that original 1 takes from original 2.

    Args:
        layer: Its name.
        channels: Counted from 0.
        weight: How much of original 2: 0 nothing, 1 all; beyond, it is extrapolated.
    """

    layer: str
    channels: Sequence[int]
    weight: float = 1.0


def torch_hybrid_code(model: Model, grafts: Sequence[TorchGraft]) -> str:
    """Write the hooks that make a hybrid.

    The code works on a variable `model`, the generator as a PyTorch module. A run of original 2
    records the layers; a run of original 1 takes channels from them, each layer with what was
    grafted above it, as `Client.hybridize` does.

    Args:
        model: Which generator.
        grafts: At least one; no two of them take the same channel of a layer.

    Returns:
        Python code.

    Raises:
        InputError: If there is none, or it is not known where PyTorch computes one of the layers.
    """
    if not grafts:
        raise InputError("a hybrid needs at least one graft", field="grafts")
    places: dict[str, list[str]] = {}
    for each in grafts:
        layer = model.layer(each.layer)
        hook = torch_hook(model, layer)
        place = (hook.module, hook.input, hook.call, _CHANNEL_AXIS[layer.kind])
        changes = places.setdefault(f"    {place!r}: [  # {layer.name}", [])
        changes.append(listed(f"        ({each.weight!r}, ", each.channels) + "),")
    given = list(torch_variables(model).values())
    return _HEAD.format(
        model=f"{model.name}@{model.digest[:12]}",
        donor=", ".join(f"{name}_2" for name in given),
        original=", ".join(f"{name}_1" for name in given),
        made=MADE.format(name=model.name) if was_trained_here(model) else "",
        how=_NOISE if len(given) < len(model.inputs) else "",
        grafts="\n".join("\n".join([place, *all_, "    ],"]) for place, all_ in places.items()),
    )
