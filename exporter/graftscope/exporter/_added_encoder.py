"""A bundle gets an encoder: its graphs stay as they are, byte for byte.

The encoder's weights go to the end of the weights file. What a replaced encoder had there is cut
off, where nothing of the generator lies behind it.
"""

import shutil
from collections.abc import Iterator, Sequence
from math import sqrt
from pathlib import Path
from typing import Final

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from graftscope.bundle import (
    FORMAT,
    MANIFEST_FILE,
    BundleFolder,
    manifest_to_json,
    read_bundle,
    shipped,
    write_originals,
)
from graftscope.exporter._encoder_choice import EncoderChoice
from graftscope.exporter._files import (
    ENCODER_FILE,
    ORIGINALS_FILE,
    WEIGHTS_FILE,
    encoder_message,
    seal,
    write_graphs,
)
from graftscope.exporter._folder import CARD_FILE, new_folder
from graftscope.exporter._proof import Proof
from graftscope.exporter._samples import draw_latents, read_stored
from graftscope.exporter._sessions import CpuSession
from graftscope.exporter._subject import Agreement, Arrays, EncoderSubject, GeneratorSubject
from graftscope.exporter.errors import SourceError
from graftscope.exporter.progress import ExportCallback, ExportProgress, ExportStage, quiet
from graftscope.exporter.sources import with_encoder
from graftscope.graph import strip_metadata
from graftscope.v1 import bundle_pb2

_SAMPLES: Final = 64


def source_bundle(source: str) -> BundleFolder | None:
    """Open a source that is a bundle, or the name of one that ships and of nothing else.

    Raises:
        BundleError: If it is a bundle that is damaged.
    """
    if (Path(source) / MANIFEST_FILE).is_file():
        return read_bundle(source)
    if Path(source).exists() or source not in shipped():
        return None
    return read_bundle(shipped()[source])


def require_no_encoder(opened: BundleFolder, *, replace_encoder: bool) -> None:
    """Refuse a bundle that has an encoder, unless it is to be replaced.

    Raises:
        SourceError: If it has one.
    """
    if opened.manifest.HasField("encoder") and not replace_encoder:
        raise SourceError(
            f"bundle {str(opened.path)!r} has an encoder already; --replace-encoder takes another "
            "in its place"
        )


def require_encoder_alone(
    source: str, choice: EncoderChoice | None, licence: str | None, layers: Sequence[str]
) -> EncoderChoice:
    """Return what is said of the encoder, if there is one and nothing else is to change.

    Raises:
        SourceError: If there is none, or something is said of what stays as it is.
    """
    if choice is None or licence is not None or layers:
        raise SourceError(
            f"source {source!r} is a bundle: all that can be done to it is to add an encoder "
            "(--encoder SOURCE), with --name, --data and what is said of the encoder"
        )
    return choice


def add_encoder(
    opened: BundleFolder,
    choice: EncoderChoice,
    name: str,
    out: Path,
    *,
    replace_encoder: bool,
    overwrite: bool,
    on_progress: ExportCallback,
) -> tuple[bundle_pb2.Bundle, tuple[str, ...]]:
    """Write a bundle with the same generator and an encoder, and prove the encoder.

    Args:
        opened: The bundle.
        choice: What is said of the encoder.
        name: The new bundle's name.
        out: Its folder.
        replace_encoder: Whether it may have an encoder already, which is left out.
        overwrite: Whether a bundle that is there already is replaced.
        on_progress: Hears of every step.

    Returns:
        The manifest, whose digest is another one, and what a user should know, one line each.

    Raises:
        SourceError: If the bundle has an encoder that is not to be replaced, or this one does not
            fit it.
        ProofError: If the encoder's graph does not compute what it should.
        TargetExistsError: If the folder is there and may not be replaced.
    """
    require_no_encoder(opened, replace_encoder=replace_encoder)
    subject = with_encoder(_subject(opened), choice, on_progress)
    encoder = subject.encoder
    assert encoder is not None
    manifest = bundle_pb2.Bundle()
    manifest.CopyFrom(opened.manifest)
    manifest.name, manifest.format = name, FORMAT
    manifest.encoder.CopyFrom(encoder_message(encoder))
    manifest.provenance.CopyFrom(subject.provenance)
    notes = (*subject.notes, *_sample_notes(opened, subject, encoder))
    with new_folder(out, overwrite=overwrite) as folder:
        on_progress(ExportProgress(ExportStage.WRITING, 0, 1))
        _copy_generator(opened, folder)
        _write_encoder(folder, encoder)
        seal(manifest, folder)
        on_progress(ExportProgress(ExportStage.WRITING, 1, 1))
        _prove(folder, manifest, encoder, on_progress)
        (folder / MANIFEST_FILE).write_text(manifest_to_json(manifest), encoding="utf-8")
        card = opened.path / CARD_FILE
        if card.is_file():
            text = card.read_text(encoding="utf-8").rstrip("\n") + "\n\n" + _card(choice, notes)
            (folder / CARD_FILE).write_text(text, encoding="utf-8")
    return manifest, (*notes, "the digest is another one, since the encoder is part of the bundle")


def _subject(opened: BundleFolder) -> GeneratorSubject:
    manifest, path = opened.manifest, opened.file(opened.manifest.generator)
    session = CpuSession(path, optimised=False)

    def compute(inputs: Arrays, /) -> list[NDArray[np.float32]]:
        return list(session.run(inputs).values())

    with quiet("onnx_ir"):
        model = ir.load(path)
    return GeneratorSubject(
        model,
        manifest.inputs,
        manifest.image.low,
        manifest.image.high,
        compute,
        provenance=manifest.provenance,
    )


def _copy_generator(opened: BundleFolder, folder: Path) -> None:
    """Copy every file but an encoder's."""
    stated = opened.manifest.encoder
    left_out = {stated.file, stated.originals} if opened.manifest.HasField("encoder") else set()
    kept = [file.name for file in opened.manifest.files if file.name not in left_out]
    for name in kept:
        shutil.copyfile(opened.file(name), folder / name)
    weights = folder / WEIGHTS_FILE
    if left_out and weights.is_file():
        ends = [end for name in kept if name.endswith(".onnx") for end in _ends(folder / name)]
        with weights.open("r+b") as stream:
            stream.truncate(max(ends, default=0))


def _ends(path: Path) -> Iterator[int]:
    """Yield where in the weights file a graph's tensors end."""
    for graph in ir.load(path).graphs():
        for value in graph.initializers.values():
            tensor = value.const_value
            if isinstance(tensor, ir.ExternalTensor):
                yield (tensor.offset or 0) + (tensor.length or tensor.nbytes)


def _write_encoder(folder: Path, encoder: EncoderSubject) -> None:
    strip_metadata(encoder.model)
    write_graphs(folder, {ENCODER_FILE: encoder.model}, append=True)
    if encoder.originals is not None:
        write_originals(folder / ORIGINALS_FILE, encoder.originals)


def _prove(
    folder: Path,
    manifest: bundle_pb2.Bundle,
    encoder: EncoderSubject,
    on_progress: ExportCallback,
) -> None:
    proof = Proof(
        folder, manifest, None, encoder.reference, encodings=encoder.agreement or Agreement()
    )
    on_progress(ExportProgress(ExportStage.PROVING, 0, 1))
    proof.run_encoder()
    on_progress(ExportProgress(ExportStage.PROVING, 1, 1))


def _sample_notes(
    opened: BundleFolder, subject: GeneratorSubject, encoder: EncoderSubject
) -> tuple[str, ...]:
    """Tell how well samples are reconstructed, if that takes nothing but the latent."""
    compute, encode = subject.reference, encoder.reference
    if compute is None or encode is None or len(subject.inputs) != 1:
        return ()
    stored = read_stored(opened.path, subject.inputs)
    latents = draw_latents(subject.inputs, stored, _SAMPLES, seed=2)
    (images,) = compute(latents)
    (again,) = compute({encoder.infers: encode({"image": images})[0]})
    width = subject.high - subject.low
    found, least = (
        sqrt(float(np.square(images - other, dtype=np.float64).mean())) / width
        for other in (again, images.mean(axis=0))
    )
    told = (
        f"reconstructions of {_SAMPLES} samples are off by {found:.1%} of the range (root mean "
        f"square), their mean picture by {least:.1%}"
    )
    if found < least:
        return (told,)
    return (f"{told}: no better than one picture for all; is it the encoder of this generator?",)


def _card(choice: EncoderChoice, notes: tuple[str, ...]) -> str:
    lines = "\n".join(f"- {note}" for note in notes)
    return f"## Encoder\n\nAdded afterwards: `{Path(choice.source).name}`.\n\n{lines}\n"
