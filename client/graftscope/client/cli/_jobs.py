"""Verbs about jobs: list, show, watch, cancel, delete, share."""

from collections.abc import Sequence
from typing import Annotated

import typer

from graftscope.client.arrays import Flag, Several, Whole, Word
from graftscope.client.cli._documents import document_of
from graftscope.client.cli._following import attend
from graftscope.client.cli._output import say, say_json, table, written
from graftscope.client.cli._session import check_target, opened
from graftscope.client.cli._shared_options import JsonOption, NpzOption, ServerOptions
from graftscope.client.values import Job, JobKind, JobState, Progress
from graftscope.client.words import counted, duration, size, when

JobArgument = Annotated[
    str,
    typer.Argument(
        metavar="ID", help="As `graftscope jobs list` prints it, or the beginning of that."
    ),
]


StatesOption = Annotated[
    Sequence[JobState] | None,
    Several(Word(JobState)),
    Flag("--job-state", "STATE,...", f"Only those in these states: {', '.join(JobState)}."),
]
KindsOption = Annotated[
    Sequence[JobKind] | None,
    Several(Word(JobKind)),
    Flag("--kind", "KIND,...", f"Only those of these kinds: {', '.join(JobKind)}."),
]
OfModelOption = Annotated[
    str | None, typer.Option("--model", metavar="NAME", help="Only those of this model.")
]
LimitOption = Annotated[
    int | None, Whole(1), Flag("--limit", "N", "Only the N newest. Default: all.")
]


def list_jobs(
    server: ServerOptions,
    states: StatesOption = None,
    kinds: KindsOption = None,
    model: OfModelOption = None,
    limit: LimitOption = None,
    json: JsonOption = False,
) -> None:
    """List the jobs of a server, the newest first."""
    with opened(server) as client:
        found = client.jobs(states=states or (), kinds=kinds or (), model=model or "", limit=limit)
    if json:
        say_json({"jobs": [document(job) for job in found]})
        return
    # Where nobody is asked who they are, no job has an owner.
    owned = any(job.owner for job in found)
    say(
        table(
            (
                *("id", "kind", "model", "layer", "state", "shards", "created"),
                *(("owner",) if owned else ()),
            ),
            [
                (
                    _identifier(job),
                    job.kind,
                    job.model or "-",
                    job.layer or "-",
                    _state(job.progress),
                    _shards(job, "/"),
                    when(job.created),
                    *((_owner(job) or "-",) if owned else ()),
                )
                for job in found
            ],
        )
    )


def show(job: JobArgument, server: ServerOptions, json: JsonOption = False) -> None:
    """Tell the state of a job."""
    with opened(server) as client:
        found = client.job(job)
    if json:
        say_json(document(found))
        return
    for name, value in _facts(found):
        say(f"{name:<10}{value}")


def watch(
    job: JobArgument, server: ServerOptions, out: NpzOption = None, json: JsonOption = False
) -> None:
    """Follow a job to its end, and write its result."""
    check_target(out, ".npz")
    with opened(server) as client:
        result = attend(client, client.job(job))
    if out:
        result.save(out)
    if json:
        say_json({**document_of(result), "out": out})
    else:
        say(f"{result.operation} is done{written(out)}")


def partial(
    job: JobArgument, server: ServerOptions, out: NpzOption = None, json: JsonOption = False
) -> None:
    """Write what an influence job has found so far; the job goes on."""
    check_target(out, ".npz")
    with opened(server) as client:
        found = client.partial(job)
    if out:
        found.influence.save(out)
    if json:
        document = {**document_of(found.influence), "partial": found.is_partial, "out": out}
        say_json(document)
        return
    kept = " (what was kept last)" if found.from_checkpoint else ""
    of = "so far" if found.is_partial else "in all: it is done"
    say(f"{_identifier(found.job)} has {counted(found.pairs, 'pair')} {of}{kept}{written(out)}")


def cancel(job: JobArgument, server: ServerOptions, json: JsonOption = False) -> None:
    """Cancel a job; the shards that are done are kept, and the same request resumes it."""
    with opened(server) as client:
        before = client.job(job)
        client.cancel(before.name)
        found = client.job(before.name)
    if json:
        say_json(document(found))
    else:
        say(f"{_identifier(found)} {_cancelled(before, found)}")


def delete(job: JobArgument, server: ServerOptions, json: JsonOption = False) -> None:
    """Delete a job that has ended, with its result; the same request computes it again."""
    with opened(server) as client:
        found = client.job(job)
        client.delete(found.name)
    if json:
        say_json({"deleted": found.name})
    else:
        say(f"{_identifier(found)} is deleted")


def share(
    job: JobArgument,
    server: ServerOptions,
    private: Annotated[
        bool,
        typer.Option("--private", help="Take it back: only its owner, and admins, see it again."),
    ] = False,
    json: JsonOption = False,
) -> None:
    """Let every caller of the server see a job and read its result."""
    with opened(server) as client:
        found = client.share(job, private=private)
    if json:
        say_json(document(found))
    else:
        say(f"{_identifier(found)} is {'shared' if found.shared else 'private'}")


def document(job: Job) -> dict[str, object]:
    """Make a job's document."""
    facts = {**vars(job), "progress": vars(job.progress)}
    facts["estimate"] = vars(job.estimate) if job.estimate else None
    del facts["so_far"]  # No verb asks a watch for it.
    return facts


def _facts(job: Job) -> list[tuple[str, str]]:
    progress = job.progress
    facts = [
        ("id", _identifier(job)),
        ("kind", str(job.kind)),
        ("state", f"{_state(progress)}, {_shards(job, ' of ')} shards"),
        ("created", when(job.created)),
        ("ended", when(job.ended)),
        ("expires", when(job.expires)),
        ("identity", job.identity or "-"),
    ]
    if job.model:
        facts.append(("model", f"{job.model}@{job.model_digest[:12]}, {job.layer}"))
    if job.estimate:
        cost = job.estimate
        time = "" if cost.duration_s is None else f"{duration(cost.duration_s)}, "
        facts.append(("estimate", f"{time}{size(cost.result_bytes)}"))
    if job.until:
        facts.append(("until", str(job.until)))
    if job.owner:
        facts.append(("owner", _owner(job)))
    if job.attempts > 1:
        facts.append(("attempts", str(job.attempts)))
    if job.error:
        facts.append(("error", job.error))
    return facts


def _cancelled(before: Job, after: Job) -> str:
    """What cancelling has done: shards that run end soon, and a job that has ended stays so."""
    if before.done:
        return f"was {before.progress.state} already"
    return f"is {after.progress.state}" if after.done else "is being cancelled"


def _owner(job: Job) -> str:
    return f"{job.owner}, shared" if job.shared else job.owner


def _state(progress: Progress) -> str:
    """Where a job stands, and behind how many others of the same caller."""
    ahead = progress.jobs_ahead
    return f"{progress.state} behind {counted(ahead, 'job')}" if ahead else str(progress.state)


def _shards(job: Job, of: str) -> str:
    """How many shards are done of all, or of the most that there can be."""
    most = "at most " if job.until else ""
    return f"{job.progress.shards_done}{of}{most}{job.progress.shards_total}"


def _identifier(job: Job) -> str:
    return job.name.removeprefix("operations/")
