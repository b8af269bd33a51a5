"""Everything that graph surgery refuses, in one tree.

::

    GraphError (ValueError)
    ├── UnknownTensorError (LookupError)  no tensor of that name is in the graph
    ├── NoLayersError                     the graph has no activation that could be edited
    ├── CutError                          tensors stand in the way of a cut
    └── RandomGraphError                  the graph draws random numbers by itself

It knows no library, so that every module of the room may import it.
"""


class GraphError(ValueError):
    """The root of what graph surgery raises on purpose; also: a graph it cannot work on."""


class UnknownTensorError(GraphError, LookupError):
    """No tensor of that name is in the graph."""


class NoLayersError(GraphError):
    """The graph has no activation that could be edited."""


class CutError(GraphError):
    """The graph cannot be cut at a tensor; the message names what stands in the way."""


class RandomGraphError(GraphError):
    """The graph draws random numbers by itself, so that two runs of it differ."""
