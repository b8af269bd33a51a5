"""Modules of one layer as PyTorch code: a hook, and the channels of each."""

from collections.abc import Mapping, Sequence

from graftscope.client.hooks._places import (
    MADE,
    listed,
    torch_hook,
    torch_variables,
    was_trained_here,
)
from graftscope.client.models import Layer, LayerKind, Model

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
    given = list(torch_variables(model).values())
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
        "made": MADE.format(name=model.name) if was_trained_here(model) else "",
        "how": _NOISE if len(given) < len(model.inputs) else "",
        "example": next(iter(modules), 0),
    }
    head = _HEAD.format(**{**facts, "call": f", call {hook.call}" if hook.call else ""})
    body = (_INPUT if hook.input else _OUTPUT).format(**facts)
    lists = "\n".join(listed(f"module_{index} = ", channels) for index, channels in modules.items())
    return f"{head}{body}\n{lists}"
