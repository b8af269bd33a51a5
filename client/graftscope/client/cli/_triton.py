"""The part of `export` that writes a model repository of Triton Inference Server."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from graftscope.client.calls import import_room, translated
from graftscope.client.cli._export_pace import ExportPace
from graftscope.client.cli._output import note, say, writing
from graftscope.client.cli._progress import shown
from graftscope.client.errors import UsageError
from graftscope.client.words import counted, size

if TYPE_CHECKING:
    from graftscope.exporter.triton import TritonPlan, TritonRepository

TRITON = "Triton Inference Server"
"""The heading of options."""

TritonOption = Annotated[
    Path | None,
    typer.Option(
        "--triton",
        metavar="DIR",
        help="Also write the bundle's models into this model repository of NVIDIA Triton: NAME, "
        "and for each layer NAME.LAYER.upstream, .downstream and .hybrid, an ensemble that takes "
        "every input twice (z1, z2) and channels (B, C), which are true where the hybrid has "
        "original 2's values. SOURCE may then be a bundle, or the name of one that comes with "
        "the package, without --out. DIR may hold other models.",
        rich_help_panel=TRITON,
    ),
]

MaxBatchOption = Annotated[
    int | None,
    typer.Option(
        "--max-batch",
        metavar="N",
        min=1,
        help="The most samples of a request to Triton. Default: 64.",
        rich_help_panel=TRITON,
    ),
]


@dataclass(frozen=True)
class ToTriton:
    """What a user asks for.

    Attributes:
        directory: The model repository.
        max_batch: The most samples of a request; None for the default.
        overwrite: Whether models of the same name are replaced.
    """

    directory: Path
    max_batch: int | None
    overwrite: bool

    def check(self) -> None:
        """Refuse early what is no model repository, before a long export."""
        room = import_room("graftscope.exporter.triton", "export")
        with translated("graftscope."):
            room.require_repository(self.directory)

    def write(self, bundle: str | Path, layers: Sequence[str] = ()) -> "TritonRepository":
        """Write a bundle's models, with progress."""
        room = import_room("graftscope.exporter.triton", "export")
        stage = shown("triton", "done")
        with writing(self.directory), translated("graftscope."), stage as show:
            written: TritonRepository = room.export_triton(
                bundle,
                self.directory,
                layers=layers,
                max_batch=room.MAX_BATCH if self.max_batch is None else self.max_batch,
                overwrite=self.overwrite,
                on_plan=self._say_plan,
                on_progress=ExportPace(show),
            )
        return written

    def _say_plan(self, plan: "TritonPlan") -> None:
        note(
            f"writing {counted(plan.models, 'model')} to {self.directory}: "
            f"{size(plan.size_bytes)} with their weights once, by hard links; "
            f"{size(plan.copied_bytes)} where these are copied as files of their own"
        )


def say_repository(written: "TritonRepository") -> None:
    """Say what was written, and how it is served."""
    if not written.linked:
        note(f"{written.directory} knows no hard links: every model has a copy of the weights")
    if not written.max_batch:
        note(
            "an input is one number a sample, so Triton is told of no batch: the first extent is "
            "free, and Triton does not put requests together"
        )
    hybrids = [name for name in written.models if name.endswith(".hybrid")]
    say(
        f"wrote {counted(len(written.models), 'model')} of {written.manifest.name} -> "
        f"{written.directory}; hybrids: {', '.join(hybrids)}"
    )


def document_of(written: "TritonRepository") -> dict[str, object]:
    """Tell programs what was written."""
    return {
        "repository": written.directory,
        "models": written.models,
        "hard_links": written.linked,
        "max_batch": written.max_batch,
    }


def is_bundle(source: str) -> bool:
    """Tell whether what is exported is a bundle already, or no source that another export takes."""
    path = Path(source)
    if path.is_dir():
        return (path / "manifest.json").is_file()
    return not path.exists() and ":" not in source and path.suffix != ".onnx"


def require_bare(options: Mapping[str, object]) -> None:
    """Refuse what a bundle can no longer be given.

    Args:
        options: What was given, by the option's name.
    """
    if given := [name for name, value in options.items() if value]:
        raise UsageError(
            f"{', '.join(given)}: SOURCE is a bundle already, which keeps what it was exported "
            "with; beside --triton it takes --layer, --max-batch, --overwrite and --json"
        )
