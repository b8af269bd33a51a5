"""Everything that an export refuses, in one tree.

::

    ExportError (ValueError)
    ├── SourceError                       what was given cannot be exported
    │   └── SourceNotFoundError (LookupError)  it is not there
    ├── TargetExistsError                 the output is there, not to be replaced
    └── ProofError                        the written graphs do not compute what they should

Graphs that cannot be cut raise `graftscope.graph.GraphError`, checkpoints that cannot be read
`graftscope.training.TrainingError`. It knows no library.
"""


class ExportError(ValueError):
    """The root of what an export raises on purpose."""


class SourceError(ExportError):
    """What was given cannot be exported."""


class SourceNotFoundError(SourceError, LookupError):
    """There is nothing at the path that was given."""


class TargetExistsError(ExportError):
    """The output is there already: not to be overwritten, or no bundle's own folder."""


class ProofError(ExportError):
    """The written graphs do not compute what they should; nothing was kept."""


def one_line(error: BaseException) -> str:
    """Return what an error says, in one line."""
    return " ".join(str(error).split())
