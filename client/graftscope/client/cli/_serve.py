"""The verb that runs a server: serve."""

import logging
import sys
from typing import Annotated, Any

import typer

from graftscope.client.calls import check_environment, import_room, translated
from graftscope.client.cli._output import note, say_json
from graftscope.client.cli._setting_options import SettingOptions
from graftscope.client.cli._shared_options import ConfigOption, JsonOption


def serve(
    given: SettingOptions,
    config: ConfigOption = None,
    print_config: Annotated[
        bool,
        typer.Option(
            "--print-config",
            help="Print every setting with where it comes from, as a file of TOML or with --json, "
            "and stop. Passwords are hidden.",
        ),
    ] = False,
    json: JsonOption = False,
) -> None:
    """Serve bundles over gRPC until interrupted; jobs go on at the next start.

    By default only this machine can reach the server, and every user of the machine may call it.

    To let others reach it, first make a token for each of them (`graftscope token create`),
    then serve with --listen 0.0.0.0:50051, --tls-cert and --tls-key, and give each their token.

    Settings come from a file, from variables such as GRAFTSCOPE_WORKERS, and from these options;
    the later of the three wins.
    """
    room = import_room("graftscope.server", "server")
    settings = import_room("graftscope.server.settings", "server")
    check_environment()
    with translated("graftscope."):
        configuration = settings.configure(given.values(), config)
        if not print_config:
            _serve(room, configuration.settings, json)
        elif json:
            say_json(settings.documented(configuration))
        else:
            typer.echo(settings.printed(configuration), nl=False)


def _serve(room: Any, settings: Any, json: bool) -> None:
    # Among objects there is no room for a sentence.
    is_for_people = settings.log_format == "text"
    if is_for_people:
        # The server's log says it too, with its own prefix: once is enough.
        logging.getLogger("graftscope.server.server").addFilter(_says_more_than_serving)
    room.serve(settings, lambda address: _ready(address, json, is_for_people=is_for_people))
    if is_for_people:
        note("stopped; a job that has not ended goes on at the next start")


def _says_more_than_serving(record: logging.LogRecord) -> bool:
    return not record.getMessage().startswith("event='serving'")


def _ready(address: str, json: bool, *, is_for_people: bool) -> None:
    if json:
        say_json({"address": address})
        # Whoever waits for it on a pipe must have it now.
        sys.stdout.flush()
    elif is_for_people:
        note(f"serving at {address}")
