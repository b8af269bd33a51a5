"""Everything that graph surgery refuses, in one tree.

::

    GraphError (ValueError)
    ├── UnknownTensorError (LookupError)  no tensor of that name is in the graph
    ├── NoLayersError                     the graph has no activation that could be edited
    ├── NoKernelsError                    no convolution leads from a layer to the next one
    ├── CutError                          tensors stand in the way of a cut
    ├── RandomGraphError                  the graph draws random numbers by itself
    ├── TrainingModeError                 a node computes as in training
    ├── LoopError                         a loop lies between the inputs and the image
    ├── ForeignLayoutError                tensors are laid out for one processor alone
    └── FixedBatchError                   the graph computes one sample at a time

It knows no library, so that every module of the room may import it.
"""


class GraphError(ValueError):
    """The root of what graph surgery raises on purpose; also: a graph it cannot work on."""


class UnknownTensorError(GraphError, LookupError):
    """No tensor of that name is in the graph."""


class NoLayersError(GraphError):
    """The graph has no activation that could be edited."""


class NoKernelsError(GraphError):
    """No convolution leads from a layer to the next one; the message says what does."""


class CutError(GraphError):
    """The graph cannot be cut at a tensor; the message names what stands in the way."""


class RandomGraphError(GraphError):
    """The graph draws random numbers by itself, so that two runs of it differ."""


class TrainingModeError(GraphError):
    """A node computes as in training, so that samples depend on chance or on each other."""


class LoopError(GraphError):
    """A loop lies between the inputs and the image."""


class ForeignLayoutError(GraphError):
    """Tensors of the graph are laid out for one kind of processor, as its optimiser wrote them."""


class FixedBatchError(GraphError):
    """The graph computes one sample at a time; the message names the node in the way."""
