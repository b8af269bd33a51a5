"""Names that no two tensors share, and that are none of Graftscope's own.

Exporters call tensors as a user's code calls things, and so do users: an input may be called as a
weight is, or as the image. Inputs keep their names, then outputs; what is inside makes way. What
begins with `OWN` is for the tensors that splicing adds.
"""

from collections.abc import Iterator, Mapping
from typing import Final

import onnx_ir as ir

OWN: Final = "graftscope."
"""What the names of inputs and outputs begin with that splicing adds."""


def distinct_names(model: ir.Model) -> Mapping[str, str]:
    """Give every tensor a name of its own; bodies of If and Loop included.

    Args:
        model: Any graph; changed in place. What it computes stays the same.

    Returns:
        New names of inputs by the old ones: of those that began with `OWN`.
    """
    values = list(_all_values(model))
    given = {value.name for value in values if value.name}
    taken: set[str] = set()
    renamed: dict[str, str] = {}
    for value in values:
        name = value.name
        if not name:
            continue
        if name in taken or name.startswith(OWN):
            value.name = _free(name, given)
            if value.is_graph_input() and value.graph is model.graph:
                renamed[name] = value.name
        taken.add(value.name or "")
    return renamed


def _free(name: str, given: set[str]) -> str:
    """Return a name that is not given yet; it is from now on."""
    base = name.removeprefix(OWN) if name.startswith(OWN) else name
    candidates = (f"{base}_{i}" for i in range(2, len(given) + 3))
    free = next(each for each in candidates if each not in given)
    given.add(free)
    return free


def _all_values(model: ir.Model) -> Iterator[ir.Value]:
    """Yield every tensor once: inputs, outputs, then the others, each graph before those inside."""
    seen: set[ir.Value] = set()
    for graph in model.graphs():
        inside = (value for node in graph for value in node.outputs)
        for value in (*graph.inputs, *graph.outputs, *graph.initializers.values(), *inside):
            if value not in seen:
                seen.add(value)
                yield value
