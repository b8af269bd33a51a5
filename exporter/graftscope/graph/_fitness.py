"""What a generator's graph must not hold: loops, training mode, discrete choices, blocked maps.

A graph that passes computes the same for one sample and for many, so it can be cut and edited. It
must not know layers or cuts.
"""

from collections.abc import Iterator

import onnx_ir as ir

from graftscope.graph._foreign import refuse_blocks
from graftscope.graph._operations import operation
from graftscope.graph._tensors import affected_by, image_of, needed_for, title
from graftscope.graph.errors import LoopError, RandomGraphError, TrainingModeError

_LOOPS = frozenset({"Loop", "Scan", "SequenceMap"})
CHOICES = frozenset({"Bernoulli", "Multinomial"})


def refuse_unfit(model: ir.Model) -> None:
    """Refuse a graph that no edit could be made in; take dropout that does nothing out of it.

    Args:
        model: A generator in plain form, of opset 12 or newer and with one output; changed in
            place.

    Raises:
        LoopError: If a loop lies between the inputs and the image.
        TrainingModeError: If a node computes as in training.
        RandomGraphError: If a node draws random choices.
        ForeignLayoutError: If its maps are laid out for one processor.
        GraphError: If there is not exactly one output.
    """
    refuse_blocks(model.graph)
    for node in list(ir.traversal.RecursiveGraphIterator(model.graph)):
        _refuse_training(node)
        if operation(node) in CHOICES:
            raise RandomGraphError(
                f"node {title(node)} draws random choices inside the graph, which cannot become "
                "an input; export the generator without them"
            )
        if operation(node) == "Dropout":
            _drop(node)
    for node in _between(model.graph):
        if operation(node) in _LOOPS:
            raise LoopError(
                f"node {title(node)} is a loop between the inputs and the image; a generator "
                "with a loop cannot be cut: export it with the loop unrolled"
            )


def _between(graph: ir.Graph) -> Iterator[ir.Node]:
    """Yield the nodes on the way from an input to the image."""
    way = affected_by(graph, graph.inputs) & needed_for([image_of(graph)])
    yield from (node for node in graph if not way.isdisjoint(node.outputs))


def _refuse_training(node: ir.Node) -> None:
    if not _in_training(node):
        return
    raise TrainingModeError(
        f"node {title(node)} is in training mode; export the generator in evaluation mode"
    )


def _in_training(node: ir.Node) -> bool:
    if operation(node) == "BatchNormalization":
        return bool(node.attributes.get_int("training_mode", 0))
    if operation(node) != "Dropout" or len(node.inputs) < 3 or node.inputs[2] is None:
        return False
    mode = node.inputs[2].const_value
    # A mode that is only known when the graph runs may be training.
    return mode is None or bool(mode.numpy().any())


def _drop(node: ir.Node) -> None:
    """Take a dropout that passes its input on out of its graph, unless its mask is used."""
    data, graph = node.inputs[0], node.graph
    if data is None or graph is None or any(out.uses() for out in node.outputs[1:]):
        return
    if node.outputs[0].is_graph_output():
        return  # the output's name would go with it
    node.outputs[0].replace_all_uses_with(data)
    graph.remove(node, safe=True)
