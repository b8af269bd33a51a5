"""What the analyses refuse, and why.

    AnalysisError (ValueError)
    ├── InvalidInputError      an argument is malformed; `field` names it
    │   └── KTooLargeError     more modules were asked for than there are maps to group
    └── NotConvergedError      a factorisation or a clustering stopped before it settled

This module must not know how a caller reports an error: statuses and exit codes are mapped outside.
"""


class AnalysisError(ValueError):
    """Root of everything that this package refuses."""


class InvalidInputError(AnalysisError):
    """An argument is malformed or out of range.

    Attributes:
        field: The argument's name, as in the signature of the function that was called.
    """

    def __init__(self, message: str, field: str = "") -> None:
        """Says what was wrong, which value, and what is allowed.

        Args:
            message: One line.
            field: The argument's name.
        """
        super().__init__(message)
        self.field = field


class KTooLargeError(InvalidInputError):
    """The number of modules exceeds what the maps can be grouped into."""


class NotConvergedError(AnalysisError):
    """An iteration reached its limit before it settled, so its result is not returned."""
