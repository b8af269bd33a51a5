"""The command `graftscope`: its verbs, and how whatever goes wrong becomes one line."""

import logging
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import wraps
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperOption
from typer.main import get_command

from graftscope.client.cli import (
    _find,
    _hybridize,
    _influence,
    _jobs,
    _magnitude,
    _measure,
    _models,
    _modules,
    _report,
    _reproduce,
    _samples,
    _serve,
    _stability,
    _train_and_export,
)
from graftscope.client.cli._failures import call_by_options, failed, unread
from graftscope.client.cli._request_options import expanded, options_of
from graftscope.client.errors import (
    EXIT_OK,
    GraftscopeError,
    StoppedError,
    UsageError,
)
from graftscope.client.version import VersionWarning, client_version

EPILOG = "Exit codes: 0 done, 1 unexpected, 2 usage, 3 not found, 4 invalid input, 5 no server, "
EPILOG += "6 not supported here, 7 job without result, 130 interrupted."


def build() -> typer.Typer:
    """Put the verbs together.

    Returns:
        The application.
    """
    app = typer.Typer(
        name="graftscope",
        help="Find the modules inside a deep generative model, and graft them from one sample to "
        "another.",
        epilog=EPILOG,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode="rich",
    )
    app.callback(invoke_without_command=True)(_bare)
    for verb, example in _VERBS:
        _add(app, verb, verb.__name__, example)
    jobs = typer.Typer(help="Look after the jobs of a server.", no_args_is_help=False)
    jobs.callback(invoke_without_command=True)(_bare_jobs)
    for verb, name, example in _JOB_VERBS:
        _add(jobs, verb, name, example)
    app.add_typer(jobs, name="jobs")
    return app


def _add(app: typer.Typer, verb: Callable[..., None], name: str, example: str) -> None:
    told = _unwrapped(verb.__doc__ or "")
    made = app.command(name, cls=_NothingDropped, help=told, epilog=f"Example: {example}")
    made(_spoken(expanded(verb), options_of(verb)))


class _NothingDropped(TyperCommand):
    """A command that drops no value: an option that takes one is refused where it has several."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Look at every value that was given, before anything is read."""
        single = [
            each
            for each in self.params
            if isinstance(each, TyperOption) and not (each.multiple or each.is_flag or each.count)
        ]
        for option in single:
            option.multiple = True  # The parser then keeps every value.
        try:
            given, _, _ = self.make_parser(ctx).parse_args(args=list(args))
        finally:
            for option in single:
                option.multiple = False
        for option in single:
            values = given.get(option.name) or ()
            if len(values) > 1:
                raise UsageError(
                    f"{option.opts[-1]} is given {len(values)} times, and takes one value:"
                    f" {', '.join(values)}"
                )
        return super().parse_args(ctx, args)


def _unwrapped(text: str) -> str:
    """Make each paragraph one line: the terminal's width is for typer to mind."""
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in text.split("\n\n"))


def _spoken(verb: Callable[..., None], options: Mapping[str, str]) -> Callable[..., None]:
    """Have errors name options, and make an interruption one of them; typer would swallow it."""

    @wraps(verb)
    def call(**values: object) -> None:
        try:
            verb(**values)
        except GraftscopeError as error:
            call_by_options(error, options)
            raise
        except KeyboardInterrupt as error:
            # Whoever interrupts twice still wants to know what the first interruption said.
            first = error.__context__
            told = first if isinstance(first, StoppedError) else StoppedError("interrupted")
            raise told from None

    return call


_VERBS: tuple[tuple[Callable[..., None], str], ...] = (
    (_report.demo, "graftscope demo --out my-report"),
    (
        _train_and_export.train,
        "graftscope train vae-celeba --data celeba.zip --out runs/faces --set epochs=10",
    ),
    (
        _measure.measure,
        "graftscope measure runs/faces --data celeba.zip --features faces.safetensors",
    ),
    (_train_and_export.export, "graftscope export model.onnx --input z=normal --out bundles/mine"),
    (_models.inspect, "graftscope inspect bundles/faces --json"),
    (_serve.serve, "graftscope serve --bundle bundles --listen 0.0.0.0:50051"),
    (_models.models, "graftscope models --server localhost:50051"),
    (_samples.generate, "graftscope generate --count 32 --seed 7 --out samples.png"),
    (_samples.encode, "graftscope encode my-photos --bundle bundles/faces --out latents.npz"),
    (
        _hybridize.hybridize,
        "graftscope hybridize --modules modules.npz --module 1 --pairs 8 --out hybrids.png",
    ),
    (_influence.influence, "graftscope influence --layer coarse --pairs 1000 --out maps.npz"),
    (_modules.modules, "graftscope modules --maps maps.npz --k 3 --out modules.npz"),
    (
        _find.find,
        "graftscope find --maps maps.npz --region 8,16,20,32 --out found.npz --picture found.png",
    ),
    (_stability.stability, "graftscope stability --maps maps.npz --k 2-10 --method nmf,kmeans"),
    (_magnitude.magnitude, "graftscope magnitude --layer coarse,intermediate --k 2-10"),
    (_report.report, "graftscope report --bundle bundles/faces --layer fine --out my-report"),
    (_reproduce.reproduce, "graftscope reproduce fig5 --quick --out figures"),
)

_JOB_VERBS: tuple[tuple[Callable[..., None], str, str], ...] = (
    (_jobs.list_jobs, "list", "graftscope jobs list --server localhost:50051"),
    (_jobs.show, "show", "graftscope jobs show 3f2a --json"),
    (_jobs.watch, "watch", "graftscope jobs watch 3f2a --out maps.npz"),
    (_jobs.cancel, "cancel", "graftscope jobs cancel 3f2a"),
    (_jobs.delete, "delete", "graftscope jobs delete 3f2a"),
)


def _bare(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version and stop.")] = False,
) -> None:
    if version:
        typer.echo(f"graftscope {client_version()}")
        raise typer.Exit
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


def _bare_jobs(context: typer.Context) -> None:
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


def run_verb(arguments: Sequence[str]) -> int:
    """Run one command; as `graftscope.client.cli.run`."""
    command = get_command(build())
    with _warnings_as_lines(), _notices_as_lines():
        try:
            code = command.main(args=list(arguments), prog_name="graftscope", standalone_mode=False)
            sys.stdout.flush()
        except BrokenPipeError:
            return unread()
        except SystemExit:  # This is how rich, which draws help, answers a broken pipe.
            return unread()
        except Exception as error:
            return failed(error)
    return code if isinstance(code, int) else EXIT_OK


@contextmanager
def _warnings_as_lines() -> Iterator[None]:
    """Print warnings of other versions as one line each, without the place in the code."""
    with warnings.catch_warnings():
        warnings.simplefilter("always", VersionWarning)
        warnings.showwarning = lambda message, *_, **__: _warn(message)
        yield


@contextmanager
def _notices_as_lines() -> Iterator[None]:
    """Print what the library logs as one line each."""
    logger, handler = logging.getLogger("graftscope.client"), _Lines()
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)


class _Lines(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        _warn(record.getMessage())


def _warn(message: Warning | str) -> None:
    sys.stderr.write(f"graftscope: warning: {message}\n")
