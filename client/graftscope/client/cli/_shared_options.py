"""The options that verbs share: their names, ranges, defaults and help."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from graftscope.client.arrays import Flag, Listed, Names, Real, Several, Whole, names
from graftscope.client.calls import DEFAULT_TIMEOUT_S, DEVICES
from graftscope.client.cli._request_options import completing
from graftscope.client.errors import UsageError
from graftscope.client.values import PAIRS

SERVER = "Server"
CHANNELS = "Channels"
ACCESS = "Who may do what"

ROLES = ("reader", "analyst", "admin")
"""What callers may do, from the least to the most."""


JsonOption = Annotated[
    bool,
    typer.Option("--json", help="Print one JSON document on standard output, and nothing else."),
]

ConfigOption = Annotated[
    Path | None,
    typer.Option(
        "--config",
        metavar="FILE.toml",
        help="A file with the server's settings. Default: $GRAFTSCOPE_CONFIG.",
    ),
]

LAYER = "A layer's name, or a level's: coarse, intermediate, fine, image."


@dataclass(frozen=True)
class OneLayer(Listed):
    """One layer's name: a verb that works at one refuses several, however they are given."""

    def checked(self, name: str, value: Iterable[str]) -> str:
        """As `Check`."""
        first, *more = names(name, value)
        if more:
            raise UsageError(
                f"{name} {','.join([first, *more])}: this verb works at one layer at a time"
            )
        return first


ModulesLayerOption = Annotated[
    str | None,
    OneLayer(),
    Flag(
        "--layer",
        "NAME",
        f"{LAYER} Default: that of --modules, or else intermediate, if the model has levels.",
    ),
]

LayersOption = Annotated[
    Sequence[str] | None,
    Names(1),
    Flag(
        "--layer",
        "NAME,...",
        f"{LAYER} Several with commas or repeated. Default: coarse and intermediate, if the "
        "model has levels.",
    ),
]

SeedOption = Annotated[
    int | None,
    Whole(),
    Flag(
        "--seed",
        "S",
        "Decides everything that is drawn at random, 0 to 4294967295; options named --...-seed "
        "override it for one thing. Default: 0.",
    ),
]

OpenOption = Annotated[
    bool, typer.Option("--open", help="Open the page in the browser when it is written.")
]

DryRunOption = Annotated[
    bool,
    typer.Option("--dry-run", help="Print the time and the bytes that it would take, and stop."),
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


@dataclass(frozen=True)
class ServerOptions:
    """Which server a verb asks, and of which model."""

    server: Annotated[
        str | None,
        typer.Option(
            "--server",
            metavar="HOST:PORT",
            help="A running server: HOST:PORT, a port alone for this machine, unix:PATH for a "
            "socket, or https://HOST:PORT for TLS with a public certificate. Default: "
            "$GRAFTSCOPE_SERVER, or else a server inside this process.",
            rich_help_panel=SERVER,
        ),
    ] = None
    token_file: Annotated[
        Path | None,
        typer.Option(
            "--token-file",
            metavar="FILE",
            help="The file with your token, if the server asks for one; it is sent through TLS or "
            "a unix socket, never in the clear. Default: $GRAFTSCOPE_TOKEN.",
            rich_help_panel=SERVER,
        ),
    ] = None
    ca: Annotated[
        Path | None,
        typer.Option(
            "--ca",
            metavar="FILE",
            help="The certificate of the authority that signed the server's, in PEM; turns on TLS. "
            "Default: $GRAFTSCOPE_CA.",
            rich_help_panel=SERVER,
        ),
    ] = None
    cert: Annotated[
        Path | None,
        typer.Option(
            "--cert",
            metavar="FILE",
            help="Your own certificate in PEM, where the server asks for one.",
            rich_help_panel=SERVER,
        ),
    ] = None
    key: Annotated[
        Path | None,
        typer.Option(
            "--key",
            metavar="FILE",
            help="The key of your certificate.",
            rich_help_panel=SERVER,
        ),
    ] = None
    bundle: Annotated[
        list[Path] | None,
        typer.Option(
            "--bundle",
            metavar="PATH",
            help="A bundle, or a folder of bundles, for the server inside this process; may be "
            "repeated. Default: the bundles that come with the package.",
            rich_help_panel=SERVER,
        ),
    ] = None
    device: Annotated[
        str | None,
        typer.Option(
            "--device",
            metavar="cpu|cuda",
            help="Where the server inside this process computes. Default: cpu.",
            autocompletion=completing(DEVICES),
            rich_help_panel=SERVER,
        ),
    ] = None
    workers: Annotated[
        int | None,
        Whole(1, 256),
        Flag(
            "--workers",
            "N",
            "Parallel runs in the server inside this process, 1 to 256. Default: one per core.",
            SERVER,
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
        Real(0, math.inf, inside=True),
        Flag(
            "--timeout",
            "S",
            "Seconds that one call may take, above 0; jobs have no limit.",
            SERVER,
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
            help="The model's name, or NAME@DIGEST for exactly that version. Default: the "
            "server's only model, or else vae-celeba.",
        ),
    ] = None


OriginalsOption = Annotated[
    str | None,
    typer.Option(
        "--originals",
        metavar="prior|encoded|PATH",
        help="Where the pairs come from, as in `graftscope influence`.",
        rich_help_panel=PAIRS,
    ),
]


@dataclass(frozen=True)
class OriginalsOptions:
    """Where the pairs of originals come from."""

    originals: Annotated[
        str | None,
        typer.Option(
            "--originals",
            metavar="prior|encoded|PATH",
            help="Latents from the prior, from a Gaussian fitted to encodings of real images, "
            "or from real images through the encoder (an image, a folder or a zip). "
            "Default: encoded if the bundle has encodings, else prior.",
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
            help="Original 2 of every pair, with as many samples as --latents1.",
            rich_help_panel=PAIRS,
        ),
    ] = None


@dataclass(frozen=True)
class ChannelOptions:
    """Which channels, or which module."""

    channels: Annotated[
        Sequence[int] | None,
        Several(Whole(), least=0),
        Flag(
            "--channels",
            "1,5,9",
            "Channels of the layer, counted from 0, with commas or by repeating the option.",
            CHANNELS,
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
