"""A foreign generator gets its encoder, and originals where photographs are given."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from graftscope.exporter._encoder_choice import EncoderChoice, Parameters, find_parameters
from graftscope.exporter._fitted_originals import Compute, Fitted, fit_originals
from graftscope.exporter._inputs import latent_names
from graftscope.exporter._rounding import measure_encoder_agreement
from graftscope.exporter._subject import (
    Arrays,
    EncoderSubject,
    GeneratorSubject,
    Reference,
)
from graftscope.exporter.errors import SourceError
from graftscope.exporter.progress import ExportCallback, quiet
from graftscope.exporter.sources._foreign_encoder import (
    ForeignEncoder,
    arranged,
    read_foreign_encoder,
)
from graftscope.graph import (
    EncoderForm,
    image_of,
    static_extents,
    to_encoder_form,
)
from graftscope.training import open_photographs
from graftscope.v1 import bundle_pb2


def with_encoder(
    subject: GeneratorSubject, choice: EncoderChoice, on_progress: ExportCallback
) -> GeneratorSubject:
    """Read an encoder, bring it into a bundle's form, and fit originals if there is data.

    Args:
        subject: The generator, which has none yet.
        choice: What is said of the encoder.
        on_progress: Hears of photographs that were encoded.

    Raises:
        SourceNotFoundError: If there is nothing at the encoder's path.
        SourceError: If the generator has an encoder, or this one does not fit it.
        GraphError: If its graph is unfit, or its batch cannot be made free.
        TrainingError: If the data cannot be read.
    """
    if subject.encoder is not None:
        raise SourceError("--encoder cannot be given for a checkpoint, which brings its own")
    image = _image_shape(subject)
    foreign = read_foreign_encoder(choice, image)
    latents = _latents(subject.inputs)
    chosen = find_parameters(foreign.outputs, latents, choice.outputs)
    latent, pixels = latents[chosen.infers], (subject.low, subject.high)
    form = _form(foreign, chosen, image, latent, pixels, choice.image_range or pixels)
    with quiet("onnx_ir"):
        to_encoder_form(foreign.model, form)
        agreement = measure_encoder_agreement(foreign.model, pixels, foreign.types, foreign.folder)
    encode = _reference(foreign, form)
    fitted = None
    if choice.data is not None:
        channels, height, width = image
        photographs = open_photographs(choice.data, channels=channels, height=height, width=width)
        decode = _decoding(subject, chosen.infers)
        fitted = fit_originals(photographs, latent, pixels, _means(encode), decode, on_progress)
    originals = None if fitted is None else fitted.originals
    notes = (*foreign.notes, chosen.note, _range_note(choice, pixels), *_fitting_notes(fitted))
    return replace(
        subject,
        encoder=EncoderSubject(foreign.model, chosen.infers, originals, encode, agreement),
        provenance=_provenance(subject.provenance, choice, pixels, fitted),
        notes=(*subject.notes, *notes),
    )


def _image_shape(subject: GeneratorSubject) -> tuple[int, int, int]:
    extents = static_extents(image_of(subject.model.graph))
    assert extents is not None  # a source refuses images of any other shape
    channels, height, width = extents
    return channels, height, width


def _latents(inputs: Sequence[bundle_pb2.Input]) -> dict[str, tuple[int, ...]]:
    shapes = {each.name: tuple(each.shape) for each in inputs}
    return {name: shapes[name] for name in latent_names(inputs)}


def _form(
    foreign: ForeignEncoder,
    chosen: Parameters,
    image: tuple[int, int, int],
    latent: tuple[int, ...],
    pixels: tuple[float, float],
    wanted: tuple[float, float],
) -> EncoderForm:
    scale = (wanted[1] - wanted[0]) / (pixels[1] - pixels[0])
    return EncoderForm(
        image=image,
        latent=latent,
        mean=chosen.mean,
        log_variance=chosen.log_variance,
        halves=chosen.halves,
        scale=scale,
        shift=wanted[0] - pixels[0] * scale,
        arrangement=foreign.arrangement,
    )


def _reference(foreign: ForeignEncoder, form: EncoderForm) -> Reference:
    """Compute with the encoder itself what its graph in the bundle's form should give."""

    def compute(inputs: Arrays, /) -> list[NDArray[np.float32]]:
        (images,) = inputs.values()
        given = _as_expected(np.asarray(images, np.float32), foreign, form)
        results = foreign.run(given)
        mean = results[form.mean]
        if form.halves is not None:
            parts = np.split(mean, 2, axis=form.halves)
        else:
            names = [form.log_variance] if form.log_variance else []
            parts = [mean, *(results[name] for name in names)]
        return [part.astype(np.float32).reshape(len(images), *form.latent) for part in parts]

    return compute


def _as_expected(
    images: NDArray[np.float32], foreign: ForeignEncoder, form: EncoderForm
) -> NDArray[np.generic]:
    own = images
    if form.scale != 1.0:
        own = own * np.float32(form.scale)
    if form.shift != 0.0:
        own = own + np.float32(form.shift)
    if foreign.dtype.kind != "f":
        own = np.clip(np.rint(own), np.float32(0), np.float32(255))
    return arranged(own.astype(foreign.dtype), form.arrangement)


def _means(encode: Reference) -> Compute:
    return lambda images: encode({"image": images})[0]


def _decoding(subject: GeneratorSubject, infers: str) -> Compute | None:
    """Give what makes images of latents alone, if the generator takes nothing else."""
    compute = subject.reference
    if compute is None or len(subject.inputs) != 1:
        return None
    return lambda latents: compute({infers: latents})[0]


def _range_note(choice: EncoderChoice, pixels: tuple[float, float]) -> str:
    own = f"[{pixels[0]:g}, {pixels[1]:g}]"
    if choice.image_range is None:
        return (
            f"the encoder is given images in {own}, the generator's range; change it with "
            "--encoder-range LOW,HIGH"
        )
    low, high = choice.image_range
    return f"the encoder is given images in [{low:g}, {high:g}], rescaled from {own}"


def _fitting_notes(fitted: Fitted | None) -> tuple[str, ...]:
    if fitted is not None:
        return fitted.notes
    return (
        "no photographs to fit originals to (--data PATH): originals are drawn from the prior, or "
        "are real images",
    )


def _provenance(
    stated: bundle_pb2.Provenance,
    choice: EncoderChoice,
    pixels: tuple[float, float],
    fitted: Fitted | None,
) -> bundle_pb2.Provenance:
    low, high = choice.image_range or pixels
    told = bundle_pb2.Provenance()
    told.CopyFrom(stated)
    told.settings["encoder"] = Path(choice.source).name
    told.settings["encoder_range"] = f"{low:g},{high:g}"
    if fitted is not None:
        told.settings["originals"] = fitted.notes[0].removeprefix("originals: ")
    return told
