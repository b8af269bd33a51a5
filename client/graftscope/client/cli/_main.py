"""The command `graftscope`: its verbs, and how whatever goes wrong becomes one line."""

import logging
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import copy_context
from typing import Annotated

import typer

from graftscope.client.cli._commands import SETTINGS, Verb, Verbs, group_of
from graftscope.client.cli._failures import failed, unread
from graftscope.client.cli._quiet import QuietOption
from graftscope.client.errors import EXIT_OK
from graftscope.client.version import VersionWarning, client_version

EPILOG = "Exit codes: 0 done, 1 unexpected, 2 usage, 3 not found, 4 invalid input, 5 no server, "
EPILOG += "6 not supported here, 7 job without result, 130 interrupted."

VERBS = {
    "demo": Verb(
        "_report",
        "demo",
        "Show what Graftscope does: a report on the generator that comes with it.",
        "graftscope demo --out my-report --open",
    ),
    "train": Verb(
        "_train",
        "train",
        "Train a generator, one of Table 1's four recipes, or an encoder for a generator without "
        "one.",
        "graftscope train vae-celeba --data celeba.zip --out runs/faces --set epochs=10",
    ),
    "train-classifier": Verb(
        "_train_classifier",
        "train_classifier",
        "Train a classifier of faces' attributes or CIFAR-10's classes, as one ONNX file.",
        "graftscope train-classifier cifar10 --data cifar10.zip --out classifier.onnx",
    ),
    "measure": Verb(
        "_measure",
        "measure",
        "Measure how far a generator's samples are from images that it never saw.",
        "graftscope measure runs/faces --data celeba.zip --features faces.safetensors",
    ),
    "export": Verb(
        "_export",
        "export",
        "Split a generator at its layers and write it as a bundle, with proof that the parts fit.",
        "graftscope export model.onnx --input z=normal --out bundles/mine",
    ),
    "inspect": Verb(
        "_models",
        "inspect",
        "Verify a bundle and draw what it holds; --json prints its manifest.",
        "graftscope inspect bundles/faces --json",
    ),
    "serve": Verb(
        "_serve",
        "serve",
        "Serve bundles over gRPC until interrupted; jobs go on at the next start.",
        "graftscope serve --bundle bundles --listen 127.0.0.1:50051",
    ),
    "doctor": Verb(
        "_doctor",
        "doctor",
        "Examine this machine and the settings of a server, and say what to do about what is "
        "wrong.",
        "graftscope doctor --config server.toml",
    ),
    "explore": Verb(
        "_explore",
        "explore",
        "Open a page on which you graft modules from one picture to another by hand.",
        "graftscope explore --bundle bundles/faces --open",
    ),
    "models": Verb(
        "_models",
        "models",
        "List the models of a server, with their layers; add or remove one.",
        "graftscope models --server localhost:50051",
    ),
    "generate": Verb(
        "_samples",
        "generate",
        "Generate samples.",
        "graftscope generate --count 32 --seed 7 --out samples.png",
    ),
    "encode": Verb(
        "_samples",
        "encode",
        "Encode images to latents, as --latents1 and --latents2 take them.",
        "graftscope encode my-photos --bundle bundles/faces --out latents.npz",
    ),
    "invert": Verb(
        "_invert",
        "invert",
        "Find latents from which a generator makes given images.",
        "graftscope invert my-photos --bundle bundles/gan --out latents.npz",
    ),
    "hybridize": Verb(
        "_hybridize",
        "hybridize",
        "Make hybrids: original 1 with some channels' values from original 2, or from elsewhere.",
        "graftscope hybridize --modules modules.npz --module 1 --pairs 8 --out hybrids.png",
    ),
    "export-hybrids": Verb(
        "_export_hybrids",
        "export_hybrid_set",
        "Write a labelled set of hybrids: images, and where each of their modules comes from.",
        "graftscope export-hybrids --modules modules.npz --pairs 1000 --out hybrids",
    ),
    "influence": Verb(
        "_influence",
        "influence",
        "Compute influence maps: where, and how much, each channel changes the image.",
        "graftscope influence --layer coarse --pairs 1000 --out maps.npz",
    ),
    "modules": Verb(
        "_modules",
        "modules",
        "Find modules: groups of channels that change the same part of the image.",
        "graftscope modules --maps maps.npz --k 3 --out modules.npz",
    ),
    "find": Verb(
        "_find",
        "find",
        "Find the channels that act inside a region of the image more than outside of it.",
        "graftscope find --maps maps.npz --region 8,16,20,32 --out found.npz --picture found.png",
    ),
    "compare": Verb(
        "_compare",
        "compare_modules",
        "Compare the modules of two layers or models: which act in the same places?",
        "graftscope compare deconv1.npz deconv2.npz --out compared.png",
    ),
    "stability": Verb(
        "_stability",
        "stability",
        "Find out how much modules depend on the channels that they are found in, and suggest a K.",
        "graftscope stability --maps maps.npz --k 2-10 --method nmf,kmeans",
    ),
    "faithfulness": Verb(
        "_faithfulness",
        "faithfulness",
        "Find out whether modules' hybrids look like samples, and like real images.",
        "graftscope faithfulness --modules modules.npz --data celeba.zip --out faithful.npz",
    ),
    "independence": Verb(
        "_independence",
        "independence",
        "Find out whether modules act by themselves, and where they say.",
        "graftscope independence --modules modules.npz --out apart.npz",
    ),
    "magnitude": Verb(
        "_magnitude",
        "magnitude",
        "Find out how much modules change the image as their number K grows, and what "
        "that depends on.",
        "graftscope magnitude --layer coarse,intermediate --k 2-10",
    ),
    "reach": Verb(
        "_reach",
        "reach",
        "Find out whether few latents reach a region, an attribute or a class, or few channels do.",
        "graftscope reach --region 40,20,12,24 --layer intermediate --picture reach.png",
    ),
    "probe": Verb(
        "_probe",
        "probe",
        "Ask classifiers about modules' hybrids: does their class stay, become the other, or "
        "neither?",
        "graftscope probe --modules modules.npz --classifier mine.onnx --out probe.npz",
    ),
    "report": Verb(
        "_report",
        "report",
        "Write a report that opens in a browser: samples, maps, modules and hybrids, explained.",
        "graftscope report --bundle bundles/faces --layer fine --out my-report",
    ),
    "reproduce": Verb(
        "_reproduce",
        "reproduce",
        "Compute the paper's experiments on the generators that come with the package.",
        "graftscope reproduce fig5 --quick --out figures",
    ),
}
"""In the order of help."""

JOB_VERBS = {
    "list": Verb(
        "_jobs",
        "list_jobs",
        "List the jobs of a server, the newest first.",
        "graftscope jobs list --job-state running,queued --limit 10",
    ),
    "show": Verb(
        "_jobs",
        "show",
        "Tell the state of a job.",
        "graftscope jobs show 3f2a --json",
    ),
    "watch": Verb(
        "_jobs",
        "watch",
        "Follow a job to its end, and write its result.",
        "graftscope jobs watch 3f2a --out maps.npz",
    ),
    "partial": Verb(
        "_jobs",
        "partial",
        "Write what an influence job has found so far; the job goes on.",
        "graftscope jobs partial 3f2a --out maps.npz",
    ),
    "cancel": Verb(
        "_jobs",
        "cancel",
        "Cancel a job; the shards that are done are kept, and the same request resumes it.",
        "graftscope jobs cancel 3f2a",
    ),
    "delete": Verb(
        "_jobs",
        "delete",
        "Delete a job that has ended, with its result; the same request computes it again.",
        "graftscope jobs delete 3f2a",
    ),
    "share": Verb(
        "_jobs",
        "share",
        "Let every caller of the server see a job and read its result.",
        "graftscope jobs share 3f2a",
    ),
}

TOKEN_VERBS = {
    "create": Verb(
        "_tokens",
        "create",
        "Make a token, and print it, only this once.",
        "graftscope token create --name alice --role analyst --expires 90d --out alice.token",
    ),
    "list": Verb(
        "_tokens",
        "list_tokens",
        "List the tokens of a server: whose they are and what they allow, never their text.",
        "graftscope token list",
    ),
    "revoke": Verb(
        "_tokens",
        "revoke",
        "Revoke a token; a running server refuses it within about a second.",
        "graftscope token revoke alice",
    ),
}

GROUPS = {
    "jobs": ("Manage the jobs of a server.", JOB_VERBS),
    "token": ("Decide who may call a server; to be run where its state is.", TOKEN_VERBS),
}
"""Verbs that have verbs below them."""


def build() -> Verbs:
    """Put the verbs together; none of them is loaded."""
    app = typer.Typer(
        name="graftscope",
        cls=Verbs,
        help="Find the modules inside a deep generative model, and graft them from one sample to "
        "another.",
        epilog=EPILOG,
        pretty_exceptions_enable=False,
        rich_markup_mode="rich",
        context_settings=SETTINGS,
    )
    app.callback(invoke_without_command=True)(_bare)
    group = group_of(app, VERBS)
    for name, (told, verbs) in GROUPS.items():
        below = typer.Typer(
            name=name,
            cls=Verbs,
            help=told,
            add_completion=False,
            rich_markup_mode="rich",
            context_settings=SETTINGS,
        )
        below.callback(invoke_without_command=True)(_bare_group)
        group.commands[name] = group_of(below, verbs)
    return group


def _bare(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version and stop.")] = False,
    quiet: QuietOption = False,
) -> None:
    if version:
        typer.echo(f"graftscope {client_version()}")
        raise typer.Exit
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


def _bare_group(context: typer.Context) -> None:
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


def run_verb(arguments: Sequence[str]) -> int:
    """Run one command; as `graftscope.client.cli.run`."""
    # Whether it is quiet is of this command, and not of the next one in the same process.
    return copy_context().run(_run, arguments)


def _run(arguments: Sequence[str]) -> int:
    with _warnings_as_lines(), _notices_as_lines():
        try:
            code = build().main(args=list(arguments), prog_name="graftscope", standalone_mode=False)
            sys.stdout.flush()
        except BrokenPipeError:
            return unread()
        except SystemExit as ended:
            # This is how rich, which draws help, answers a broken pipe, and how completion ends.
            broken = isinstance(ended.__context__, BrokenPipeError)
            return unread() if broken else int(ended.code or EXIT_OK)
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
