"""The options of `serve`, from the list of servers' settings."""

from dataclasses import dataclass, field, make_dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from graftscope.client.calls import SERVER_SETTINGS, Setting
from graftscope.client.cli._request_options import completing


@dataclass(frozen=True)
class _Given:
    """What a user said of settings."""

    def values(self) -> dict[str, object]:
        """What was said, by the settings' names; what was not keeps what else sets it."""
        return {name: value for name, value in vars(self).items() if value not in (None, [])}


def _option(setting: Setting) -> Any:
    kind: Any = list[str] if setting.several else str if setting.metavar else bool
    return Annotated[
        kind | None,
        typer.Option(
            *setting.flags,
            metavar=setting.metavar or None,
            help=setting.help,
            autocompletion=completing(setting.words),
            rich_help_panel=setting.panel or None,
        ),
    ]


if TYPE_CHECKING:
    SettingOptions = _Given
else:
    SettingOptions = make_dataclass(
        "SettingOptions",
        [(each.name, _option(each), field(default=None)) for each in SERVER_SETTINGS],
        bases=(_Given,),
        frozen=True,
    )
