"""Where PyTorch computes layers, and what all code that is written of them says."""

import re
import textwrap
from collections.abc import Sequence

from graftscope.client.errors import InputError
from graftscope.client.models import Layer, Model, TorchHook

MADE = """\
# Here: model = graftscope.exporter.torch_generator("{name}")  # or the bundle's folder
"""
"""How to have the module where the exporter can make it."""

_WIDTH = 96


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


def torch_variables(model: Model) -> dict[str, str]:
    """Name a variable for every input of a model that makes an original.

    Noise, which the module draws by itself, has none.

    Args:
        model: Which generator.

    Returns:
        Names that Python can use, by the inputs' names.
    """
    return {each.name: re.sub(r"\W", "_", each.name) for each in model.inputs if not each.noise}


def was_trained_here(model: Model) -> bool:
    """Tell whether the exporter can make the module again from the bundle alone."""
    provenance = model.manifest.get("provenance")
    settings = provenance.get("settings") if isinstance(provenance, dict) else None
    return isinstance(settings, dict) and any(key.startswith("architecture.") for key in settings)


def listed(begun: str, channels: Sequence[int]) -> str:
    """Channels as Python code: what is begun, and all of them, in lines that are not too long."""
    name = f"{begun}["
    listed = textwrap.fill(
        ", ".join(map(str, channels)), _WIDTH, initial_indent=name, subsequent_indent="    "
    )
    return f"{listed if channels else name}]"
