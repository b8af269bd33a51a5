"""Python factories as what is exported: a module is made, filled with weights, and traced.

Weights come from the factory, or from a Safetensors file: every tensor, and no other. Pickles are
refused, since reading one runs whatever it holds.
"""

from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Final

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from graftscope.exporter._inputs import make_inputs
from graftscope.exporter._options import Options
from graftscope.exporter._samples import draw_latents, sample_images
from graftscope.exporter._subject import GeneratorSubject
from graftscope.exporter.errors import SourceError, SourceNotFoundError
from graftscope.exporter.sources._arguments import find_arguments
from graftscope.exporter.sources._hooks import find_hooks
from graftscope.exporter.sources._image import find_range, require_image
from graftscope.exporter.sources._module import Made, MethodModule, make
from graftscope.exporter.sources._trace import IMAGE, reference, trace, versions
from graftscope.graph import Noise, image_of, inputs_for_randomness, refuse_unfit
from graftscope.v1 import bundle_pb2

_EXAMPLE_BATCH: Final = 2
_PICKLES: Final = (".pt", ".pth", ".ckpt", ".bin", ".pkl")
_SHOWN: Final = 3


def subject_from_factory(source: str, licence: str | None, options: Options) -> GeneratorSubject:
    """Call a factory and trace what it makes.

    Args:
        source: `package.module:function`.
        licence: The terms of the images it was trained on, if known.
        options: What is said of inputs, shapes, range and weights.

    Raises:
        SourceError: If the factory gives no module, its weights or what is said of its inputs do
            not fit, or PyTorch cannot turn it into a graph.
        RandomGraphError: If what it draws by itself cannot become an input.
    """
    made = make(source)
    notes = (*_unwrapped_notes(made), *_filled(made, options.weights))
    arguments = find_arguments(made, options)
    chosen = make_inputs(arguments.known, arguments.choices)
    drawn = draw_latents(chosen.inputs, chosen.stored, _EXAMPLE_BATCH)
    examples = {name: torch.tensor(array) for name, array in drawn.items()}
    call = MethodModule(made, tuple(examples))
    model = trace(call, examples, [IMAGE], title=made.title)
    require_image(image_of(model.graph))
    refuse_unfit(model)
    noise = [_noise_input(each) for each in inputs_for_randomness(model)]
    run = reference(call, noise=len(noise))
    inputs = (*chosen.inputs, *noise)
    pixels = find_range(
        image_of(model.graph),
        options.image_range,
        lambda: sample_images(model, inputs, chosen.stored, run),
    )
    return GeneratorSubject(
        model,
        inputs,
        pixels.low,
        pixels.high,
        run,
        provenance=_provenance(source, options.weights, licence),
        stored=chosen.stored,
        bounded=pixels.bounded,
        notes=(*notes, *arguments.notes, *map(_noise_note, noise), *pixels.notes),
        find_hooks=partial(find_hooks, call, run, root=made.method == "forward"),
    )


def _unwrapped_notes(made: Made) -> tuple[str, ...]:
    if not made.wrappers:
        return ()
    around = ", ".join(made.wrappers)
    return (f"taken out of {around}: {type(made.module).__name__}, which PyTorch's hooks are of",)


def _filled(made: Made, weights: Path | None) -> tuple[str, ...]:
    if weights is not None:
        load_weights(made.module, weights)
        return ()
    return ("weights: those that the factory gave; load others with --weights FILE.safetensors",)


def _noise_input(noise: Noise) -> bundle_pb2.Input:
    stated = bundle_pb2.Input(name=noise.name, datatype="FP32", shape=noise.shape, noise=True)
    if noise.bounds is None:
        stated.normal.SetInParent()
    else:
        stated.uniform.low, stated.uniform.high = noise.bounds
    return stated


def _noise_note(stated: bundle_pb2.Input) -> str:
    drawn = "normal" if stated.HasField("normal") else "uniform"
    return f"input {stated.name!r} {tuple(stated.shape)}: was drawn inside the module; {drawn}"


def _provenance(source: str, weights: Path | None, licence: str | None) -> bundle_pb2.Provenance:
    beside = "" if weights is None else f" with {weights.name}"
    return bundle_pb2.Provenance(
        recipe=f"made by {source}{beside}",
        licence=licence or "",
        versions=versions(),
    )


def load_weights(module: nn.Module, path: Path) -> None:
    """Fill a module's parameters and buffers, in place.

    Args:
        module: The module.
        path: A Safetensors file with a tensor for each.

    Raises:
        SourceNotFoundError: If there is no such file.
        SourceError: If it is of another kind or damaged, or its tensors are not the module's; the
            message names the first of those that are missing, unexpected or of another shape.
    """
    if path.suffix in _PICKLES:
        raise SourceError(
            f"weights {str(path)!r} are a pickle, which may run code when it is read; if you trust "
            f"it, convert it: {_conversion(path)}"
        )
    if not path.is_file():
        raise SourceNotFoundError(f"weights {str(path)!r} do not exist")
    try:
        tensors = load_file(path)
    except (SafetensorError, OSError) as error:
        raise SourceError(f"weights {str(path)!r} are no Safetensors file: {error}") from error
    _require_same(path, module, module.state_dict(), tensors)
    module.load_state_dict(tensors)


def _conversion(path: Path) -> str:
    """Return the one line that makes a Safetensors file of a pickle."""
    code = (
        "import sys, torch; from safetensors.torch import save_file; "
        "s = torch.load(sys.argv[1], map_location='cpu', weights_only=True); "
        "save_file({k: v.clone() for k, v in s.get('state_dict', s).items()}, sys.argv[2])"
    )
    return f'python -c "{code}" {path} {path.with_suffix(".safetensors")}'


def _require_same(
    path: Path, module: nn.Module, wanted: Mapping[str, Tensor], given: Mapping[str, Tensor]
) -> None:
    other = [
        f"{name} {tuple(given[name].shape)} instead of {tuple(tensor.shape)}"
        for name, tensor in wanted.items()
        if name in given and given[name].shape != tensor.shape
    ]
    problems = {
        "missing": [name for name in wanted if name not in given],
        "unexpected": [name for name in given if name not in wanted],
        "of another shape": other,
    }
    told = [f"{what}: {_first(names)}" for what, names in problems.items() if names]
    if told:
        raise SourceError(
            f"weights {str(path)!r} do not fit {type(module).__name__}; {'; '.join(told)}"
        )


def _first(names: Iterable[str]) -> str:
    shown = list(names)
    more = f" and {len(shown) - _SHOWN} more" if len(shown) > _SHOWN else ""
    return ", ".join(shown[:_SHOWN]) + more
