"""Modules as PyTorch code: a forward hook that people paste where they work.

It must not know files or servers; it writes code and never runs any.
"""

import re
import textwrap
from collections.abc import Mapping, Sequence

from graftscope.client.errors import InputError
from graftscope.client.models import Layer, LayerKind, Model, TorchHook

_WIDTH = 96

_HEAD = """\
# Layer {layer} of {model}: {what} "{module}"{call}, {shape}.
# A first run of `model`, after model.eval(), records a donor; a second takes channels from it:
#     with graft(donor := []): model({donor})
#     with graft([], donor, module_{example}): hybrid = model({original})
# `model(...)` stands for the call that makes an image, be it a method such as model.decode(...).
{made}{how}def graft(seen, donor=None, channels=()):
"""
_NOISE = """\
# The module draws noise: torch.manual_seed(...) before a run decides it, as for an original's own.
"""
_MADE = """\
# Here: model = graftscope.exporter.torch_generator("{name}")  # or the bundle's folder
"""
_OUTPUT = """\
    def hook(module, inputs, output):
        seen.append(output.clone())
        if donor and len(seen) == {count}:
            seen[{call}][{at}] = donor[{call}][{at}]
            return seen[{call}]
    return model.get_submodule("{module}").register_forward_hook(hook)
"""
_INPUT = """\
    def hook(module, inputs):
        seen.append(inputs[0].clone())
        if donor and len(seen) == {count}:
            seen[{call}][{at}] = donor[{call}][{at}]
            return (seen[{call}], *inputs[1:])
    return model.get_submodule("{module}").register_forward_pre_hook(hook)
"""
_AT = {
    LayerKind.MAP: ":, channels",
    LayerKind.VECTOR: ":, channels",
    LayerKind.TOKENS: "..., channels",
}


def torch_code(model: Model, layer: Layer, modules: Mapping[int, Sequence[int]]) -> str:
    """Write the hook of a layer and the lists of its modules' channels.

    The code works on a variable `model`, the generator as a PyTorch module. It leaves the module's
    other calls, its other inputs and all other channels as they are.

    Args:
        model: Which generator.
        layer: One of its layers.
        modules: The channels of each module, by its index.

    Returns:
        Python code.

    Raises:
        InputError: If it is not known where PyTorch computes the layer.
    """
    hook = torch_hook(model, layer)
    # Noise is what the module draws by itself.
    given = [re.sub(r"\W", "_", each.name) for each in model.inputs if not each.noise]
    facts = {
        "layer": layer.name,
        "model": f"{model.name}@{model.digest[:12]}",
        "what": "what is given to" if hook.input else "what is returned by",
        "module": hook.module,
        "call": hook.call,
        "count": hook.call + 1,
        "at": _AT[layer.kind],
        "shape": f"({', '.join(map(str, ('B', *layer.shape)))})",
        "original": ", ".join(f"{name}_1" for name in given),
        "donor": ", ".join(f"{name}_2" for name in given),
        "made": _MADE.format(name=model.name) if _was_trained_here(model) else "",
        "how": _NOISE if len(given) < len(model.inputs) else "",
        "example": next(iter(modules), 0),
    }
    head = _HEAD.format(**{**facts, "call": f", call {hook.call}" if hook.call else ""})
    body = (_INPUT if hook.input else _OUTPUT).format(**facts)
    lists = "\n".join(_listed(index, channels) for index, channels in modules.items())
    return f"{head}{body}\n{lists}"


def _was_trained_here(model: Model) -> bool:
    """Tell whether the exporter can make the module again from the bundle alone."""
    provenance = model.manifest.get("provenance")
    settings = provenance.get("settings") if isinstance(provenance, dict) else None
    return isinstance(settings, dict) and any(key.startswith("architecture.") for key in settings)


def torch_place(hook: TorchHook) -> str:
    """Say where PyTorch computes a layer: what a module returns, or what it is given."""
    module = f'"{hook.module}"' if hook.module else "the model"
    place = f"{'given to' if hook.input else 'returned by'} {module}"
    return f"{place}, call {hook.call}" if hook.call else place


def torch_hook(model: Model, layer: Layer) -> TorchHook:
    """Tell where PyTorch computes a layer.

    Raises:
        InputError: If that is not known.
    """
    if layer.torch_hook is None:
        raise InputError(_unknown(model, layer), field="layer")
    return layer.torch_hook


def _unknown(model: Model, layer: Layer) -> str:
    hooked = [each.name for each in model.layers if each.torch_hook is not None]
    if not hooked:
        return (
            f"the bundle of model {model.name!r} does not say where PyTorch computes its layers, as"
            " one that was exported from PyTorch does"
        )
    return (
        f"layer {layer.name!r} of model {model.name!r} is no output or input of a PyTorch module;"
        f" layers that are: {', '.join(hooked)}"
    )


def _listed(module: int, channels: Sequence[int]) -> str:
    """A module's channels as Python code."""
    name = f"module_{module} = ["
    listed = textwrap.fill(
        ", ".join(map(str, channels)), _WIDTH, initial_indent=name, subsequent_indent="    "
    )
    return f"{listed if channels else name}]"
