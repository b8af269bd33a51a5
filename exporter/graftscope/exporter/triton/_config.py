"""A model's configuration, as values and as the text of `config.pbtxt`.

The text is a `ModelConfig` message of Triton in protobuf's text format. It must not know graphs.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

FREE: Final = -1
"""An extent that requests decide."""
OWNER: Final = "graftscope.bundle"
"""The parameter that tells which bundle a model was written from, and so whose it is."""


@dataclass(frozen=True)
class Tensor:
    """An input or output.

    Attributes:
        name: As requests call it.
        datatype: In the words of the Open Inference Protocol, such as FP32.
        shape: Its extents, the batch first; `FREE` where requests decide.
    """

    name: str
    datatype: str
    shape: tuple[int, ...]


@dataclass(frozen=True)
class Step:
    """One run of a model inside of an ensemble.

    Attributes:
        model: The model's name.
        inputs: The ensemble's tensors by the names of the model's inputs.
        outputs: Likewise by the names of its outputs; those that are left out are dropped.
    """

    model: str
    inputs: Mapping[str, str]
    outputs: Mapping[str, str]


@dataclass(frozen=True)
class ModelConfig:
    """What Triton is told about a model.

    Attributes:
        name: The model's, and its folder's.
        inputs: What it takes.
        outputs: What it gives.
        max_batch: The most samples of a request, which Triton then may put together with others;
            0 where it leaves the first extent alone.
        parameters: Facts for people and programs; Triton only hands them on.
        steps: What an ensemble runs, in this order; none for a graph.
    """

    name: str
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    max_batch: int
    parameters: Mapping[str, str] = field(default_factory=dict)
    steps: tuple[Step, ...] = ()


def to_text(config: ModelConfig) -> str:
    """Write the text of `config.pbtxt`."""
    return "\n".join(_lines(config)) + "\n"


def owner_in(text: str) -> str | None:
    """Tell which bundle a `config.pbtxt` was written from; None if not by `to_text`."""
    begin = f'parameters {{ key: "{OWNER}" value {{ string_value: "'
    found = [line for line in text.splitlines() if line.startswith(begin)]
    return found[0].removeprefix(begin).partition('"')[0] if found else None


def _lines(config: ModelConfig) -> Iterator[str]:
    yield f"name: {_quoted(config.name)}"
    yield 'platform: "ensemble"' if config.steps else 'backend: "onnxruntime"'
    yield f"max_batch_size: {config.max_batch}"
    for word, tensors in (("input", config.inputs), ("output", config.outputs)):
        for tensor in tensors:
            # Where Triton knows of batches, it puts their extent before these.
            extents = tensor.shape[1:] if config.max_batch else tensor.shape
            yield f"{word} {{"
            yield f"  name: {_quoted(tensor.name)}"
            yield f"  data_type: TYPE_{tensor.datatype}"
            yield f"  dims: [ {', '.join(map(str, extents))} ]"
            yield "}"
    if config.steps:
        yield "ensemble_scheduling {"
        for step in config.steps:
            yield "  step {"
            yield f"    model_name: {_quoted(step.model)}"
            yield "    model_version: -1"
            yield from _mapped("input_map", step.inputs)
            yield from _mapped("output_map", step.outputs)
            yield "  }"
        yield "}"
    for key, value in config.parameters.items():
        yield f"parameters {{ key: {_quoted(key)} value {{ string_value: {_quoted(value)} }} }}"


def _mapped(word: str, names: Mapping[str, str]) -> Iterator[str]:
    for key, value in names.items():
        yield f"    {word} {{ key: {_quoted(key)} value: {_quoted(value)} }}"


def _quoted(text: str) -> str:
    """Write a string; whatever is not plain ASCII, byte by byte in octal."""
    plain = (chr(x) if 32 <= x < 127 and x not in b'"\\' else f"\\{x:03o}" for x in text.encode())
    return f'"{"".join(plain)}"'
