"""What a module's method takes: names from its signature, the rest from options or a dry run.

Rules
1. An input is a parameter without a default, or one that --input or --shape names.
2. The first float input is standard normal, and a label has as many classes as an `nn.Embedding`
   has rows, where nothing else is said. Every other distribution must be said.
3. A shape that is not said is tried: a latent size among the module's attributes, then what its
   linear parts take. The first with which the module runs, and gives images, is taken.
4. So is how a parameter gets its tensors: as one, in a list, as a number of samples for which the
   method draws the latents, or as labels of no width (`_forms`).

It knows no graph.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from inspect import Parameter
from itertools import islice, product
from typing import Final

import torch

from graftscope.exporter._input_choices import FORMS, InputChoice, InputKind
from graftscope.exporter._known_input import KnownInput
from graftscope.exporter._options import Options
from graftscope.exporter.errors import SourceError, one_line
from graftscope.exporter.sources._forms import (
    BatchDraw,
    Form,
    likely_forms,
    parameter_of,
    require_draw,
)
from graftscope.exporter.sources._likely_inputs import LikelyInput, likely_inputs
from graftscope.exporter.sources._module import Made, MethodModule

_BATCH: Final = 2
_MOST_TRIES: Final = 200


@dataclass(frozen=True)
class Arguments:
    """What a module's method is given.

    Attributes:
        known: Its inputs, in the order of the signature.
        choices: The distribution of each, by name.
        notes: What was guessed, one line each.
        forms: How parameters get their tensors that do not get just one, by name.
        latent: The input that stands for what the method draws for a number of samples; None
            where no parameter is one.
    """

    known: tuple[KnownInput, ...]
    choices: Mapping[str, InputChoice]
    notes: tuple[str, ...]
    forms: Mapping[str, Form]
    latent: str | None


@dataclass(frozen=True)
class _Candidate:
    """One way in which an input may be meant.

    Attributes:
        parameter: The method's parameter that gets it.
        form: How.
        known: The input; None where the parameter gets no tensor that somebody gives.
        choice: Its distribution; None likewise.
        guessed: Whether nobody said the distribution.
    """

    parameter: str
    form: Form
    known: KnownInput | None = None
    choice: InputChoice | None = None
    guessed: bool = False

    def __str__(self) -> str:
        """Return the input and its shape for two samples, as messages tell it."""
        if self.known is None:
            return f"{self.parameter}, {self.form.value}"
        shape = (_BATCH, *self.known.shape)
        return f"{self.known.name} {f'[{shape}]' if self.form is Form.LIST else shape}"


def find_arguments(made: Made, options: Options) -> Arguments:
    """Find out what the method takes, by trying where nothing is said.

    Args:
        made: The module and how it is called.
        options: What is said of its inputs.

    Raises:
        SourceError: If what is said does not fit the signature, an input's distribution or shape
            must be said, or the module cannot be run or gives no images.
    """
    latent = _latent_name(made)
    names = _input_names(made, {*options.inputs, *options.shapes} - {latent})
    candidates = [list(_candidates(made, name, options)) for name in names]
    unsaid = [name for name in names if name not in options.inputs]
    chosen, draw = _first_that_runs(made, candidates, unsaid)
    given = [LikelyInput(each.known, each.choice) for each in chosen if each.known and each.choice]
    if draw is not None:
        drawn = options.inputs.get(latent) or _of(latent, draw)
        given.insert(0, LikelyInput(KnownInput(latent, "FP32", draw.shape or ()), drawn))
    elif latent in options.inputs:
        raise _foreign(made, latent)
    return Arguments(
        known=tuple(each.known for each in given),
        choices={each.known.name: each.choice for each in given},
        notes=tuple(note for each in chosen for note in _notes(each, given[0], options)),
        forms={each.parameter: each.form for each in chosen if each.form is not Form.TENSOR},
        latent=None if draw is None else latent,
    )


def _latent_name(made: Made) -> str:
    """Return what an input is called that stands for a draw inside of the method."""
    taken = {parameter.name for parameter in made.parameters()}
    return next(name for name in ("z", "latent", "drawn_latent") if name not in taken)


def _of(name: str, draw: BatchDraw) -> InputChoice:
    if draw.bounds is None:
        return InputChoice(name, InputKind.NORMAL)
    return InputChoice(name, InputKind.UNIFORM, draw.bounds)


def _input_names(made: Made, said: set[str]) -> list[str]:
    parameters = made.parameters()
    known = [parameter.name for parameter in parameters]
    for name in sorted(said):
        if parameter_of(name, known) not in known:
            raise _foreign(made, name)
    names: list[str] = []
    for each in parameters:
        own = sorted(
            (name for name in said - {each.name} if parameter_of(name, known) == each.name),
            key=lambda name: int(name.rpartition(".")[2]),
        )
        needed = each.default is Parameter.empty or each.name in said
        names += own or ([each.name] if needed else [])
    if not names:
        raise SourceError(
            f"{made.title} takes no input, so nothing could differ between samples; its "
            f"parameters: {', '.join(known) or 'none'} (name one with --input)"
        )
    return names


def _foreign(made: Made, name: str) -> SourceError:
    known = ", ".join(parameter.name for parameter in made.parameters())
    return SourceError(f"{made.title} has no parameter {name!r}; it has: {known or 'none'}")


def _candidates(made: Made, name: str, options: Options) -> Iterator[_Candidate]:
    """Yield how an input may be meant, the likeliest first."""
    parameters = {each.name: each for each in made.parameters()}
    parameter = parameters[parameter_of(name, parameters)]
    choice, shape = options.inputs.get(name), options.shapes.get(name)
    if choice is not None and choice.kind is InputKind.COUNT:
        forms: tuple[Form, ...] = (Form.COUNT,)
    elif shape == (0,):
        forms = (Form.EMPTY,)
    elif name != parameter.name:
        forms = (Form.LIST,)
    else:
        said = choice is not None or shape is not None
        forms = likely_forms(parameter, made.module, said=said)
    for form in forms:
        if form in (Form.COUNT, Form.EMPTY):
            yield _Candidate(parameter.name, form)
            continue
        for each in likely_inputs(made.module, name, choice, shape):
            yield _Candidate(parameter.name, form, each.known, each.choice, guessed=choice is None)


def _first_that_runs(
    made: Made, candidates: Sequence[Sequence[_Candidate]], unsaid: Sequence[str]
) -> tuple[tuple[_Candidate, ...], BatchDraw | None]:
    """Return the first choice that gives images, and the draw that is its latent."""
    reason = ""
    for chosen in islice(filter(_is_modest, product(*candidates)), _MOST_TRIES):
        counted = any(each.form is Form.COUNT for each in chosen)
        draw = BatchDraw(_BATCH) if counted else None
        failed = _try(made, chosen, draw)
        if failed is None:
            if draw is not None:
                require_draw(made.title, draw)
            return chosen, draw
        reason = reason or f"with {', '.join(map(str, chosen))}: {failed}"
    raise _refusal(made, candidates, unsaid, reason)


def _is_modest(chosen: Sequence[_Candidate]) -> bool:
    """Tell whether at most one input is guessed to be normal, and one parameter is a count."""
    guessed = [
        each
        for each in chosen
        if each.guessed and each.choice is not None and each.choice.kind is InputKind.NORMAL
    ]
    return len(guessed) <= 1 and sum(each.form is Form.COUNT for each in chosen) <= 1


def _try(made: Made, chosen: Sequence[_Candidate], draw: BatchDraw | None) -> str | None:
    """Run the method; return None if it gives images, else what happened in one line."""
    given = [LikelyInput(each.known, each.choice) for each in chosen if each.known and each.choice]
    forms = {each.parameter: each.form for each in chosen}
    call = MethodModule(made, tuple(each.known.name for each in given), forms)
    values = {each.known.name: each.example(_BATCH) for each in given}
    try:
        with torch.inference_mode(), torch.random.fork_rng(devices=[]), draw or nullcontext():
            image = call.generate(values, _BATCH)
    except SourceError:
        raise
    except Exception as error:  # a user's module may raise anything
        return f"{type(error).__name__}: {one_line(error)}"
    numbers = image.is_floating_point() or image.dtype is torch.uint8
    if image.dim() != 4 or len(image) != _BATCH or not numbers:
        return (
            f"it gives {str(image.dtype).removeprefix('torch.')} of shape {tuple(image.shape)}, "
            f"not images ({_BATCH}, channels, height, width)"
            + ("; flat ones need --image-shape" if image.dim() in (2, 3) else "")
        )
    return None


def _refusal(
    made: Made, candidates: Sequence[Sequence[_Candidate]], unsaid: Sequence[str], reason: str
) -> SourceError:
    if len(unsaid) > 1 or (unsaid and not all(candidates)):
        inputs = ", ".join(map(repr, unsaid))
        return SourceError(
            f"{made.title} takes {inputs}, of which too little is known; say how their values "
            f"come about with --input {FORMS}, and shapes with --shape NAME=EXTENT,EXTENT"
        )
    shapes = [{each.known and each.known.shape for each in candidate} for candidate in candidates]
    if any(len(each) != 1 for each in shapes):
        return SourceError(
            f"{made.title} gives no images with any shape that its parts suggest; say it "
            f"with --shape, such as --shape z=100,1,1 ({reason or 'none is suggested'})"
        )
    return SourceError(f"{made.title} gives no images {reason}")


def _notes(chosen: _Candidate, first: LikelyInput, options: Options) -> Iterator[str]:
    """Say what was guessed of a parameter."""
    name = chosen.parameter
    if chosen.form is Form.COUNT:
        guess = _guess(first) if first.known.name not in options.inputs else "as said"
        yield (
            f"argument {name!r}: the number of samples; what is drawn for them is input "
            f"{first.known.name!r} {first.known.shape}: {guess}"
        )
    elif chosen.form is Form.EMPTY:
        yield f"argument {name!r}: (B, 0), no input, since there are no classes"
    elif chosen.guessed and chosen.known is not None and chosen.choice is not None:
        known = chosen.known
        listed = ", given in a list" if chosen.form is Form.LIST else ""
        told = chosen.choice.distribution
        yield (
            f"input {known.name!r} {known.shape}: {told}, guessed{listed}; change it "
            f"with --input {known.name}=... and --shape {known.name}=..."
        )


def _guess(guessed: LikelyInput) -> str:
    name = guessed.known.name
    return f"{str(guessed.choice).partition('=')[2]}, guessed; change it with --input {name}=..."
