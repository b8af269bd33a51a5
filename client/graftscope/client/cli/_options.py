"""The options that verbs share: their names, ranges, defaults and help."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from graftscope.client._client import DEFAULT_TIMEOUT_S

SERVER = "Server"
PAIRS = "Pairs of originals"
CHANNELS = "Channels"
MAPS = "Influence maps"

MAP_PAIRS = 1000
"""Pairs behind influence maps where none are asked for."""

STRATIFIED_PAIRS = 1024
"""The same where pairs are stratified, which come in groups of 32."""

HYBRID_PAIRS = 8
"""Pairs of hybrids where none are asked for."""


JsonOption = Annotated[
    bool,
    typer.Option("--json", help="Print one JSON document on standard output, and nothing else."),
]

ModulesLayerOption = Annotated[
    str | None,
    typer.Option(
        "--layer",
        metavar="NAME",
        help="A layer's name, or a level's: coarse, intermediate, fine, image. Default: that of "
        "--modules, or else intermediate, where the model has levels.",
    ),
]

DryRunOption = Annotated[
    bool,
    typer.Option("--dry-run", help="Tell the time and the bytes that it would take, and stop."),
]

NpzOption = Annotated[
    Path | None,
    typer.Option("--out", metavar="FILE.npz", help="Where the arrays are written."),
]

PictureOption = Annotated[
    Path | None,
    typer.Option(
        "--out",
        metavar="FILE",
        help="Where the arrays (FILE.npz) or a picture of them (FILE.png) is written; with "
        "--encoding the folder of files.",
    ),
]

MapSizeOption = Annotated[
    int,
    typer.Option(
        "--map-size",
        metavar="N",
        min=0,
        help="Average the maps over areas so that no side is longer than N pixels; "
        "0: the image's size up to 128.",
    ),
]


PrecisionOption = Annotated[
    str,
    typer.Option(
        "--precision",
        metavar="fp32|bf16|tf32|fp16|auto",
        help="Of the arithmetic. bf16: processors with AMX, through OpenVINO; tf32, fp16: CUDA; "
        "auto: the fastest whose influences are within 2 % of float32, half of them within 0.5 %. "
        "The reply says what ran and how far it is from float32.",
    ),
]

ShareOption = Annotated[
    str | None,
    typer.Option(
        "--share",
        metavar="label,noise",
        help="Inputs of which original 2 takes original 1's value, with commas: with the class "
        "label among them, both originals are of one class.",
        rich_help_panel=PAIRS,
    ),
]

FixOption = Annotated[
    list[str] | None,
    typer.Option(
        "--fix",
        metavar="NAME=VALUE",
        help="An input that is the same in every sample; may be repeated. VALUE: a number, or an "
        "array in FILE.npy or FILE.npz. label=3 makes all samples of class 3.",
        rich_help_panel=PAIRS,
    ),
]


StratifiedOption = Annotated[
    bool,
    typer.Option(
        "--stratified",
        help="Spread every 32 pairs evenly over each dimension of the latents. Each pair by itself "
        "is distributed as ever, but the same error takes fewer of them: about 0.4 as many for "
        "individual influences of the VAE that ships. Use it for latents from the prior or from "
        "encodings; not for real images. --pairs is a multiple of 32 then (default: "
        f"{STRATIFIED_PAIRS}), and standard errors are those of means over 32 pairs: ask for 256 "
        "pairs or more where they matter.",
        rich_help_panel=PAIRS,
    ),
]


@dataclass(frozen=True)
class ServerOptions:
    """Which server a verb asks, and of which model."""

    server: Annotated[
        str | None,
        typer.Option(
            "--server",
            metavar="HOST:PORT",
            help="A running server. Default: $GRAFTSCOPE_SERVER, or else a server inside this "
            "process.",
            rich_help_panel=SERVER,
        ),
    ] = None
    bundle: Annotated[
        Path | None,
        typer.Option(
            "--bundle",
            metavar="PATH",
            help="A bundle for the server inside this process. Default: the bundles that come "
            "with the package.",
            rich_help_panel=SERVER,
        ),
    ] = None
    device: Annotated[
        str,
        typer.Option(
            "--device",
            metavar="cpu|cuda",
            help="Where the server inside this process computes.",
            rich_help_panel=SERVER,
        ),
    ] = "cpu"
    workers: Annotated[
        int | None,
        typer.Option(
            "--workers",
            metavar="N",
            min=1,
            max=256,
            help="Runs side by side in the server inside this process, 1 to 256. Default: one a "
            "core.",
            rich_help_panel=SERVER,
        ),
    ] = None
    state: Annotated[
        Path | None,
        typer.Option(
            "--state",
            metavar="DIR",
            help="Where the server inside this process keeps jobs and results. Default: the "
            "user's state folder.",
            rich_help_panel=SERVER,
        ),
    ] = None
    timeout: Annotated[
        float,
        typer.Option(
            "--timeout",
            metavar="S",
            help="Seconds that one call may take, above 0; jobs have no limit.",
            rich_help_panel=SERVER,
        ),
    ] = DEFAULT_TIMEOUT_S


@dataclass(frozen=True)
class ModelOptions:
    """Which model."""

    model: Annotated[
        str | None,
        typer.Option(
            "--model",
            metavar="NAME",
            help="The model's name, NAME@DIGEST to insist on one version. Default: the only one "
            "of the server, or else vae-celeba.",
        ),
    ] = None


@dataclass(frozen=True)
class PairOptions:
    """Where the pairs of originals of influence maps come from."""

    pairs: Annotated[
        int | None,
        typer.Option(
            "--pairs",
            metavar="N",
            help=f"How many pairs, at least 1. Default: {MAP_PAIRS}.",
            rich_help_panel=PAIRS,
        ),
    ] = None
    seed: Annotated[
        int,
        typer.Option(
            "--seed",
            metavar="S",
            help="Decides the pairs, 0 to 4294967295. Pair i of a seed is always the same.",
            rich_help_panel=PAIRS,
        ),
    ] = 0
    originals: Annotated[
        str | None,
        typer.Option(
            "--originals",
            metavar="prior|encoded|PATH",
            help="Latents from the prior, from a Gaussian fitted to encodings of real images, or "
            "from real images through the encoder (an image, a folder or a zip). Default: encoded "
            "where the model has an encoder, else prior.",
            rich_help_panel=PAIRS,
        ),
    ] = None
    latents1: Annotated[
        Path | None,
        typer.Option(
            "--latents1",
            metavar="A.npz",
            help="Original 1 of every pair: an array (B, ...) for every input, by its name.",
            rich_help_panel=PAIRS,
        ),
    ] = None
    latents2: Annotated[
        Path | None,
        typer.Option(
            "--latents2",
            metavar="B.npz",
            help="Original 2 of every pair, as many as --latents1.",
            rich_help_panel=PAIRS,
        ),
    ] = None
    share: ShareOption = None
    fix: FixOption = None


@dataclass(frozen=True)
class MapPairOptions:
    """Where the pairs come from where another seed than theirs is the verb's `--seed`."""

    pairs: Annotated[
        int | None,
        typer.Option(
            "--pairs",
            metavar="N",
            help=f"Pairs of computed maps, at least 1. Default: {MAP_PAIRS}.",
            rich_help_panel=PAIRS,
        ),
    ] = None
    pairs_seed: Annotated[
        int,
        typer.Option(
            "--pairs-seed",
            metavar="S",
            help="Decides the pairs, 0 to 4294967295.",
            rich_help_panel=PAIRS,
        ),
    ] = 0
    originals: Annotated[
        str | None,
        typer.Option(
            "--originals",
            metavar="prior|encoded|PATH",
            help="Where the pairs come from, as in `graftscope influence`.",
            rich_help_panel=PAIRS,
        ),
    ] = None
    map_size: MapSizeOption = 0
    share: ShareOption = None
    fix: FixOption = None
    stratified: StratifiedOption = False


@dataclass(frozen=True)
class HybridPairOptions(PairOptions):
    """Where the pairs of originals of hybrids come from."""

    pairs: Annotated[
        int | None,
        typer.Option(
            "--pairs",
            metavar="N",
            help=f"How many pairs, at least 1. Default: {HYBRID_PAIRS}.",
            rich_help_panel=PAIRS,
        ),
    ] = None


@dataclass(frozen=True)
class ChannelOptions:
    """Which channels, or which module."""

    channels: Annotated[
        str | None,
        typer.Option(
            "--channels",
            metavar="1,5,9",
            help="Channels of the layer, counted from 0, with commas.",
            rich_help_panel=CHANNELS,
        ),
    ] = None
    modules: Annotated[
        Path | None,
        typer.Option(
            "--modules",
            metavar="FILE.npz",
            help="Modules as `graftscope modules` wrote them.",
            rich_help_panel=CHANNELS,
        ),
    ] = None


def map_pairs(pairs: int | None, stratified: bool) -> int:
    """How many pairs of influence maps are asked for, where that may be left open."""
    if pairs is not None:
        return pairs
    return STRATIFIED_PAIRS if stratified else MAP_PAIRS
