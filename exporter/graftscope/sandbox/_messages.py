"""What parent and child say to each other: a line of JSON each way."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field


@dataclass(frozen=True)
class Request:
    """What the child is to try.

    Attributes:
        path: A bundle's folder, or an ONNX file.
        is_bundle: Which of the two.
        weights_bytes: What its limits scale with.
        limits: The fields of `Limits`.
        shapes: Of a file's inputs, the batch among them, by name.
    """

    path: str
    is_bundle: bool
    weights_bytes: int
    limits: Mapping[str, float]
    shapes: Mapping[str, Sequence[int]] = field(default_factory=dict)

    def line(self) -> str:
        """This request in JSON."""
        return json.dumps(asdict(self)) + "\n"

    @classmethod
    def read(cls, line: str) -> "Request":
        """Read a request."""
        return cls(**json.loads(line))


@dataclass(frozen=True)
class Verdict:
    """What came of it.

    Attributes:
        reason: Of `Reason`; empty for a model that is fine.
        line: What is wrong, where there is more to say than the reason.
    """

    reason: str = ""
    line: str = ""


@dataclass(frozen=True)
class Weights:
    """What a file's weights take, beside it and in it: the child's limits scale with them.

    Attributes:
        weights_bytes: How much.
    """

    weights_bytes: int
