"""Jobs from a verb's side: say what they cost, start them, show their progress, wait."""

from graftscope.client._client import Client
from graftscope.client._jobs import Estimate, InfluenceTask, Job, Task
from graftscope.client._jobs import Progress as JobProgress
from graftscope.client._results import InfluenceResult, ModulesResult
from graftscope.client.cli._output import duration, note, size
from graftscope.client.cli._progress import of_job, shown
from graftscope.client.errors import StoppedError


def tell_estimate(estimate: Estimate) -> None:
    """Say what influence maps are going to cost."""
    note(
        f"{estimate.hybrids:,} hybrids, about {duration(estimate.duration_s)},"
        f" {size(estimate.result_bytes)} of results"
    )


def compute(client: Client, task: Task) -> InfluenceResult | ModulesResult:
    """Start a job and wait for it; influence maps' cost is told first.

    Raises:
        StoppedError: If the user interrupts the wait.
    """
    if isinstance(task, InfluenceTask):
        tell_estimate(client.estimate(task))
    return attend(client, client.start(task))


def attend(client: Client, job: Job) -> InfluenceResult | ModulesResult:
    """Wait for a job and show its progress.

    Raises:
        StoppedError: If the user interrupts the wait.
    """
    last = job.progress
    try:
        with shown(job.kind.value, "shards") as show:

            def take(progress: JobProgress) -> None:
                nonlocal last
                last = progress
                show(of_job(progress))

            return client.wait(job.name, take)
    except KeyboardInterrupt:
        raise StoppedError(_stopped(client, job, last)) from None


def _stopped(client: Client, job: Job, progress: JobProgress) -> str:
    done = f"interrupted after {progress.shards_done} of {progress.shards_total} shards"
    if client.embedded:
        return f"{done}: they are kept, and the same command goes on from there"
    identifier = job.name.removeprefix("operations/")
    return (
        f"{done}: the job goes on at {client.address};"
        f" `graftscope jobs watch {identifier}` follows it, `jobs cancel {identifier}` ends it"
    )
