"""How far a job is, in words and in numbers: for terminals and for notebooks."""

from dataclasses import dataclass

from graftscope.client.values import ConfidentLabels, Job, JobState, RelativeError, bare
from graftscope.client.values import Progress as JobProgress
from graftscope.client.words import counted, duration


@dataclass(frozen=True)
class Advance:
    """How far something is.

    Args:
        done: Of `total`.
        total: In all, 0 where unknown.
        rate: How fast, in words, empty where unknown.
        eta_s: Seconds to go; None where unknown.
        stage: What is being done, empty where that does not change.
        at_most: Whether the total is the most that there can be.
        at_most_left: Whether the time to go is.
        known: What is known by now, in words; empty where nothing is.
    """

    done: int
    total: int
    rate: str = ""
    eta_s: float | None = None
    stage: str = ""
    at_most: bool = False
    at_most_left: bool = False
    known: str = ""

    def words(self) -> str:
        """What is known, the rate and the time to go, after what was done."""
        most = "at most " if self.at_most_left else ""
        left = "" if self.eta_s is None else f"{most}{duration(self.eta_s)} left"
        told = ", ".join(part for part in (self.known, self.rate, left) if part)
        return f"· {told}" if self.known else told


def _waiting(progress: JobProgress) -> str:
    """What a queued job waits for; empty for any other."""
    if progress.state is not JobState.QUEUED:
        return ""
    ahead = progress.jobs_ahead
    return f"waiting for {counted(ahead, 'job')} before it" if ahead else "waiting for its turn"


def of_job(job: Job) -> Advance:
    """Turn a job's state into what is shown; a job with a stopping rule may end earlier."""
    progress, until = job.progress, job.until
    rate = f"{progress.hybrids_per_second:,.0f} hybrids/s" if progress.hybrids_per_second else ""
    return Advance(
        done=job.pairs_done if job.pairs else progress.shards_done,
        total=job.pairs or progress.shards_total,
        rate=_waiting(progress) or rate,
        eta_s=progress.eta_s,
        at_most=until is not None,
        # Relative errors foretell when they will be small enough; labels tell nothing.
        at_most_left=until is not None and not isinstance(bare(until), RelativeError),
        known=_known(job),
    )


def unit_of(job: Job) -> str:
    """What is counted of a job."""
    return "pairs" if job.pairs else "shards"


def reached(job: Job) -> str:
    """Say how far a job is: ``320 of at most 1,000 pairs``."""
    advance = of_job(job)
    most = "at most " if advance.at_most else ""
    return f"{advance.done:,} of {most}{counted(advance.total, unit_of(job).removesuffix('s'))}"


def _known(job: Job) -> str:
    """What a stopping rule, or whoever watches, has found out by now."""
    maps, settled = job.progress.maps, job.progress.maps_settled
    if maps:
        labels = isinstance(bare(job.until), ConfidentLabels)
        return f"{settled} of {maps} {'labels sure' if labels else 'maps known'}"
    modules = job.so_far and job.so_far.modules
    if modules and modules.labelled:
        return f"{modules.sure} of {modules.labelled} labels sure"
    return ""
