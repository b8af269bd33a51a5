"""How numbers were computed, and how far that is from plain float32."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Self, TypeAlias

from graftscope.client.arrays import Flag, Word


class Precision(StrEnum):
    """Of the arithmetic. What a server cannot run it refuses, and says what it can."""

    FP32 = "fp32"
    """float32, everywhere the default."""
    BF16 = "bf16"
    """bfloat16: processors with AMX, through OpenVINO."""
    TF32 = "tf32"
    """float32 with rounded factors: NVIDIA's tensor cores."""
    FP16 = "fp16"
    """float16: CUDA."""
    AUTO = "auto"
    """Asks for the fastest that is close enough to float32; the result says which that was."""

    @property
    def kind(self) -> str:
        """The numbers' name as it is read: float32, bfloat16, tf32, float16."""
        names = {Precision.FP32: "float32", Precision.BF16: "bfloat16", Precision.FP16: "float16"}
        return names.get(self, self.value)


WantedPrecision: TypeAlias = Annotated[
    Precision,
    Word(Precision),
    Flag(
        "--precision",
        "fp32|bf16|tf32|fp16|auto",
        "The precision of the arithmetic. bf16: processors with AMX, through OpenVINO; tf32, "
        "fp16: CUDA; auto: the fastest whose influences are within 2 % of float32, half of "
        "them within 0.5 %. The reply says what ran and how far it is from float32.",
    ),
]
"""What may be asked for."""


@dataclass(frozen=True)
class Deviation:
    """Difference from the plain path in float32, measured on a sample of the same pairs.

    Args:
        pairs: Of the sample.
        sets: Sets of channels of the sample; 0 for images.
        individual_median: Relative difference of individual influences, those below a hundredth of
            the largest as shares of that hundredth; 0 for images.
        individual_worst: The largest of them.
        worst: Largest difference of an entry: of maps as a share of the largest entry, of images
            as a share of the width of the range, of encodings as a share of the largest number.
    """

    pairs: int
    sets: int
    individual_median: float
    individual_worst: float
    worst: float

    def __str__(self) -> str:
        """Say it in one line."""
        if not self.sets:
            return f"{_percent(self.worst)} (worst entry) from float32, on {self.pairs} samples"
        return (
            f"individual influences {_percent(self.individual_median)} (median) and"
            f" {_percent(self.individual_worst)} (worst) from float32, on {self.pairs} pairs and"
            f" {self.sets} sets"
        )


@dataclass(frozen=True)
class Execution:
    """What computed a result.

    Args:
        model_digest: The model's version.
        precision: Of the arithmetic; never `Precision.AUTO`. None where a file of an earlier
            version does not say.
        provider: ONNX Runtime's name of the execution provider; empty likewise.
        rewrites: Names of the graph rewrites that reorder arithmetic for speed.
        deviation: Difference from the plain path in float32; None where that is what ran.
    """

    model_digest: str
    precision: Precision | None
    provider: str
    rewrites: tuple[str, ...] = ()
    deviation: Deviation | None = None

    @classmethod
    def not_said(cls, model_digest: str = "") -> Self:
        """What is known where a file does not say what computed its arrays."""
        return cls(model_digest, None, "")


def _percent(share: float) -> str:
    """Two digits behind the point, or what is less than they can tell."""
    return "less than 0.01%" if 0 < share < 5e-5 else f"{share:.2%}"
