"""The words for why a model is refused. They stay the same: programs compare them."""

from enum import StrEnum


class Reason(StrEnum):
    """Why a model is refused."""

    UNREADABLE = "MODEL_UNREADABLE"
    """It is no ONNX file, or damaged, or breaks ONNX's own rules."""
    TOO_LARGE = "MODEL_TOO_LARGE"
    """More nodes, text or bytes than are allowed."""
    NOT_ALLOWED = "MODEL_OPERATION_NOT_ALLOWED"
    """An operation, a domain or a function that is not allowed."""
    WEIGHTS = "MODEL_WEIGHTS_ELSEWHERE"
    """Weights outside its folder, or in a file that is not listed."""
    NOT_NUMBERS = "MODEL_WEIGHTS_NOT_NUMBERS"
    """Weights that hold NaN."""
    TOO_SLOW = "MODEL_TOO_SLOW"
    """It takes longer to open or to run than is allowed."""
    TOO_MUCH_MEMORY = "MODEL_TAKES_TOO_MUCH_MEMORY"
    """It takes more memory than is allowed."""
    CRASHES = "MODEL_CRASHES"
    """It ends the process that opens it."""
    DOES_NOT_RUN = "MODEL_DOES_NOT_RUN"
    """ONNX Runtime cannot open or run it."""
    DOES_NOT_FIT = "MODEL_DOES_NOT_FIT"
    """It computes something else than its manifest says."""
