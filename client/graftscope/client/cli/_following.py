"""Jobs from a verb's side: say what they cost, start them, show their progress, wait."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from graftscope.client._client import Client
from graftscope.client.cli._output import note, say_json
from graftscope.client.cli._progress import shown
from graftscope.client.cli._quiet import is_quiet
from graftscope.client.display import of_job, reached, unit_of
from graftscope.client.errors import StoppedError
from graftscope.client.values import (
    AnalysisResult,
    ConfidentLabels,
    Estimate,
    HybridTask,
    InfluenceResult,
    InfluenceTask,
    Job,
    JobKind,
    JobState,
    LayersResult,
    ModulesAsked,
    Task,
    bare,
    told_stop,
)
from graftscope.client.words import counted, duration, size, when

_OF_HYBRIDS = frozenset(JobKind) - {JobKind.MODULES, JobKind.STABILITY}


def tell_estimate(estimate: Estimate, *, at_most: bool = False) -> None:
    """Say what hybrids are going to cost, or with a stopping rule at most."""
    time = "" if estimate.duration_s is None else f" about {duration(estimate.duration_s)},"
    note(
        f"{'at most ' if at_most else ''}{counted(estimate.hybrids, 'hybrid')},{time}"
        f" {size(estimate.result_bytes)} of results"
    )


def tell_dry_run(client: Client, tasks: Sequence[HybridTask], json: bool) -> None:
    """Say what hybrids would cost, all tasks together; nothing is started."""
    estimates = [client.estimate(task) for task in tasks]
    total = Estimate(
        duration_s=sum(each.duration_s or 0.0 for each in estimates),
        hybrids=sum(each.hybrids for each in estimates),
        result_bytes=sum(each.result_bytes for each in estimates),
    )
    rules = {str(task.until) for task in tasks if isinstance(task, InfluenceTask) and task.until}
    if json:
        # With a stopping rule the estimate is a maximum.
        say_json(
            {"estimate": vars(total), **({"until": ", ".join(sorted(rules))} if rules else {})}
        )
    else:
        tell_estimate(total, at_most=bool(rules))


def compute(client: Client, task: Task, modules: ModulesAsked | None = None) -> AnalysisResult:
    """Start a job and wait for it; what is left to do of hybrids is told first.

    Args:
        client: The server's.
        task: What to compute.
        modules: Those that maps are computed for, of which it is shown how sure they are by now.

    Raises:
        StoppedError: If the user interrupts the wait.
    """
    return attend_told(client, client.start(task), modules)


def attend_told(client: Client, job: Job, modules: ModulesAsked | None = None) -> AnalysisResult:
    """Wait for a job that was just begun, as `compute`."""
    return attend(client, job, _tell_start if job.kind in _OF_HYBRIDS else None, modules)


def _tell_start(job: Job) -> None:
    """Say what a job that was just asked for still costs: it may be an earlier one."""
    progress, estimate = job.progress, job.estimate
    if progress.state is JobState.DONE:
        note(f"answered already on {when(job.ended)}")
    elif progress.shards_done and estimate:
        most = "at most " if job.until else ""
        left = ""
        if estimate.duration_s is not None:
            left_s = estimate.duration_s * (1 - progress.shards_done / progress.shards_total)
            left = f", {most or 'about '}{duration(left_s)} left"
        note(f"goes on from {reached(job)}{left}")
    elif estimate:
        tell_estimate(estimate, at_most=job.until is not None)


def attend(
    client: Client,
    job: Job,
    first: Callable[[Job], None] | None = None,
    modules: ModulesAsked | None = None,
) -> AnalysisResult:
    """Wait for a job and show its progress.

    Args:
        client: The server's.
        job: The job.
        first: Takes the job before the wait begins.
        modules: Of which it is shown how sure they are by now, in maps of a job whose stopping
            rule does not say so itself.

    Raises:
        StoppedError: If the user interrupts the wait.
    """
    state = job
    try:
        if first is not None:
            first(job)
        with shown(job.kind.value, unit_of(job)) as show:
            for state in client.watch(job.name, **_asked(job, modules)):
                show(of_job(state))
        result = client.result(job.name)
    except KeyboardInterrupt:
        raise StoppedError(_stopped(client, state)) from None
    if isinstance(result, InfluenceResult | LayersResult) and (told := told_stop(result)):
        note(told)
    return result


def _asked(job: Job, modules: ModulesAsked | None) -> Mapping[str, Any]:
    """What a watch is asked for beside the job's state."""
    if modules is None or is_quiet() or job.kind is not JobKind.INFLUENCE:
        return {}
    if isinstance(bare(job.until), ConfidentLabels):
        return {}
    asked = vars(modules)
    return {"modules": asked["k"], **{name: asked[name] for name in asked if name != "k"}}


def _stopped(client: Client, job: Job) -> str:
    done = f"interrupted after {reached(job)}"
    if not client.keeps_results:
        return f"{done}: nothing is kept, as the state folder is temporary"
    if client.embedded:
        return f"{done}: they are kept, and the same command goes on from there"
    identifier = job.name.removeprefix("operations/")
    return (
        f"{done}: the job goes on whenever the server at {client.address} runs;"
        f" `graftscope jobs watch {identifier}` follows it, `jobs partial {identifier} --out"
        f" FILE.npz` writes what there is, `jobs cancel {identifier}` ends it"
    )
