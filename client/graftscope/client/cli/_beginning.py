"""The options of what the explorer's page begins with."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Annotated

import typer

from graftscope.client._async_client import AsyncClient
from graftscope.client.arrays import Flag, Several, Whole
from graftscope.client.cli._model_and_layer import meant_model
from graftscope.client.cli._shared_options import LAYER, OneLayer
from graftscope.client.errors import UsageError
from graftscope.client.values import ModulesResult

BEGINNING = "What it begins with"


@dataclass(frozen=True)
class Beginning:
    """What the page begins with."""

    model: Annotated[
        str | None,
        typer.Option(
            "--model",
            metavar="NAME",
            help="The model that the page begins with. Default: that of --modules, or else the "
            "server's only model or vae-celeba.",
            rich_help_panel=BEGINNING,
        ),
    ] = None
    layer: Annotated[
        str | None,
        OneLayer(),
        Flag("--layer", "NAME", LAYER, BEGINNING),
    ] = None
    seed: Annotated[
        Sequence[int] | None,
        Several(Whole()),
        Flag(
            "--seed",
            "S1,S2",
            "The seeds of original 1 and original 2, 0 to 4294967295. Default: 7,8.",
            BEGINNING,
        ),
    ] = None
    modules: Annotated[
        Path | None,
        typer.Option(
            "--modules",
            metavar="FILE.npz",
            help="Modules as `graftscope modules` wrote them: the page finds as many of their "
            "layer.",
            rich_help_panel=BEGINNING,
        ),
    ] = None

    @property
    def said(self) -> list[str]:
        """The options that were given."""
        return [f"--{name}" for name, value in vars(self).items() if value is not None]

    def refuse_idle(self, file: Path | None, *, signs_in: bool) -> None:
        """Refuse options that say twice what the page begins with, or that cannot act.

        Raises:
            UsageError: If one of them is given.
        """
        if not self.said:
            return
        if file is not None:
            raise UsageError(f"{file} says all that the page begins with: leave out {self.said[0]}")
        if signs_in:
            raise UsageError(
                f"{self.said[0]} is for a page on this machine alone: with --tls-cert, what a "
                "visitor may see is known when they have signed in; leave it out"
            )

    async def behind(self, room: ModuleType, client: AsyncClient) -> str:
        """Write it as it stands behind the # of the page's address; empty for nothing."""
        if not self.said:
            return ""
        modules = None if self.modules is None else ModulesResult.load(self.modules)
        name = self.model or (modules.source.model if modules and modules.source else None)
        model = await client.model(name) if name else meant_model(await client.models())
        shown = room.Shown.of(
            lambda _: model,
            model=model.name,
            layer=self.layer,
            seeds=self.seed,
            modules=modules,
        )
        written: str = shown.behind()
        return written
