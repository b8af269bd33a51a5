"""Table 1: the paper's hyperparameters beside those of the generators that come along."""

from collections.abc import Mapping
from functools import partial
from math import prod

from graftscope.client.figures.paper import Cell, Table1, table1
from graftscope.client.models import Model
from graftscope.client.reproduce._reproduction import Claim, Picture, Reproduction, verdict
from graftscope.client.reproduce._study import (
    GAN,
    GAN_CIFAR,
    GENERATORS,
    VAE,
    VAE_CIFAR,
    VAE_TENTH,
    Study,
)

_COLUMNS = {
    VAE: "VAE CelebA",
    VAE_TENTH: "VAE CelebA, beta/10",
    GAN: "GAN CelebA",
    VAE_CIFAR: "VAE CIFAR-10",
    GAN_CIFAR: "GAN CIFAR-10",
}

_DECONVOLUTIONS = "deconvolutions / channels"
_SIZES = "sizes of activation maps"
_LATENTS = "latents"
_OPTIMISER = "optimiser"
_OBJECTIVE = "objective"
_BATCH = "batch size"
_BETA = "beta"

_FACES = ("4 / 64, 64, 32, 16, 3", "8, 16, 32, 64")
_GAN_FACES = ("4 / 128, 64, 32, 16, 3", "4, 8, 16, 32")
_CIFAR = ("3 / 64, 32, 16, 3", "4, 8, 16")
_ARCHITECTURES = {
    VAE: _FACES,
    VAE_TENTH: _FACES,
    GAN: _GAN_FACES,
    VAE_CIFAR: _CIFAR,
    GAN_CIFAR: _CIFAR,
}
_ADAM = "Adam, beta1 0.5"
_BETAS = {VAE: "0.0005", VAE_TENTH: "5e-05", VAE_CIFAR: "0.0005"}

PAPER: Mapping[str, Mapping[str, str]] = {
    _DECONVOLUTIONS: {name: _ARCHITECTURES[name][0] for name in GENERATORS},
    _SIZES: {name: _ARCHITECTURES[name][1] for name in GENERATORS},
    _LATENTS: {name: "150" if name in (GAN, GAN_CIFAR) else "128" for name in GENERATORS},
    _OPTIMISER: dict.fromkeys(GENERATORS, _ADAM),
    _OBJECTIVE: {
        name: "GAN loss" if name in (GAN, GAN_CIFAR) else "VAE loss" for name in GENERATORS
    },
    _BATCH: dict.fromkeys(GENERATORS, "64"),
    _BETA: {name: _BETAS.get(name, "-") for name in GENERATORS},
}
"""What Table 1 says, and section 4.1 of the VAE of Fig. 6 (beta divided by 10)."""

_MEASURED = {
    "reconstruction error (MSE)": "reconstruction_mse",
    "divergence (nats)": "kl",
    "Fréchet distance, prior": "frechet_prior",
    "Fréchet distance, encoded": "frechet_encoded",
    "Fréchet distance, real halves": "frechet_halves",
    "kernel distance, prior": "kernel_prior",
    "kernel distance, encoded": "kernel_encoded",
    "kernel distance, real halves": "kernel_halves",
}
"""Rows of what the bundles measured, and the names of their metrics."""


def compare_table1(study: Study) -> Reproduction:
    """Read what each bundle says of itself, and lay it beside the paper's table."""
    models = [study.model(name) for name in GENERATORS]
    ours = {model.name: _stated(model) for model in models}
    rows: list[tuple[str, list[Cell]]] = [
        (row, [_cell(ours[name][row], PAPER[row][name]) for name in GENERATORS]) for row in PAPER
    ]
    rows += [
        (row, [Cell(_count(model, key)) for model in models])
        for row, key in {"images trained on": "trained_on", "steps": "steps"}.items()
    ]
    rows.append(("learning rate (discriminator)", [Cell(_rates(model)) for model in models]))
    rows += [
        (row, [Cell(_metric(model, key)) for model in models]) for row, key in _MEASURED.items()
    ]
    figure = Table1(
        [_COLUMNS[name] for name in GENERATORS],
        [row for row, _ in rows],
        [cells for _, cells in rows],
    )
    return Reproduction(
        name="table1",
        title="Hyperparameters and quality of the generators",
        pictures=[
            Picture(
                "table1",
                "Table 1 as used here, read from the bundles (beta/10 is the "
                "generator of Fig. 6). The first seven rows are the paper's; a value that is not "
                "would be marked. The others the paper does not give: the training, and distances "
                "(mean and standard deviation over halvings) between samples and held-out images "
                "beside those between two halves of the held-out images, in the features of a "
                "small network trained on each data set's labels.",
                partial(table1, figure),
            )
        ],
        numbers={
            name: {"ours": ours[name], "paper": {row: PAPER[row][name] for row in PAPER}}
            | {"metrics": _metrics(model)}
            for name, model in zip(GENERATORS, models, strict=True)
        },
        claims=[_as_in_the_paper(ours)],
    )


def _stated(model: Model) -> dict[str, str]:
    """What a bundle says, in the words of Table 1's rows."""
    levels = [layer for layer in model.layers if layer.level]
    channels = [layer.channels for layer in levels]
    sizes = [layer.height for layer in levels]
    is_vae = model.has_encoder
    widths = ", ".join(map(str, [*channels, model.image.channels]))
    return {
        _DECONVOLUTIONS: f"{len(channels)} / {widths}",
        _SIZES: ", ".join(map(str, sizes)),
        _LATENTS: str(sum(prod(each.shape) for each in model.inputs)),
        _OPTIMISER: f"Adam, beta1 {_setting(model, 'adam_beta1')}",
        _OBJECTIVE: "VAE loss" if is_vae else "GAN loss",
        _BATCH: _setting(model, "batch_size"),
        _BETA: _setting(model, "beta") if is_vae else "-",
    }


def _cell(ours: str, paper: str) -> Cell:
    return Cell(ours, "" if ours == paper else f"The paper: {paper}.")


def _setting(model: Model, key: str) -> str:
    provenance = _provenance(model)
    found = _mapping(provenance.get("settings")).get(key)
    value = provenance.get(key) if found is None else found
    return "not stated" if value is None else str(value)


def _count(model: Model, key: str) -> str:
    value = _setting(model, key)
    return f"{int(value):,}" if value.isdecimal() else value


def _rates(model: Model) -> str:
    rate = _setting(model, "learning_rate")
    if model.has_encoder:
        return rate
    return f"{rate} ({_setting(model, 'discriminator_learning_rate')})"


def _metric(model: Model, key: str) -> str:
    metrics = _metrics(model)
    if key not in metrics:
        return "-"
    spread = metrics.get(f"{key}_deviation")
    return f"{metrics[key]:.3g}" if spread is None else f"{metrics[key]:.3g} ± {spread:.1g}"


def _metrics(model: Model) -> dict[str, float]:
    found = _mapping(_provenance(model).get("metrics"))
    return {name: float(each) for name, each in found.items() if isinstance(each, int | float)}


def _provenance(model: Model) -> Mapping[str, object]:
    return _mapping(model.manifest.get("provenance"))


def _mapping(found: object) -> Mapping[str, object]:
    return found if isinstance(found, dict) else {}


def _as_in_the_paper(ours: Mapping[str, Mapping[str, str]]) -> Claim:
    differing = [
        f"{name}: {row} {ours[name][row]} (paper {PAPER[row][name]})"
        for row in PAPER
        for name in GENERATORS
        if ours[name][row] != PAPER[row][name]
    ]
    return Claim(
        section="Table 1",
        claim="Architectures, latent spaces, optimiser, objectives, batch size and beta.",
        measured="; ".join(differing) if differing else "All as in the table.",
        criterion="Every cell is the paper's; partly if more than half are.",
        verdict=verdict(
            agrees=not differing, partly=2 * len(differing) < len(PAPER) * len(GENERATORS)
        ),
    )
