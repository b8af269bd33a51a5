"""While one waits for a job: what hears of its progress, and what an interruption leaves behind."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from graftscope.client.arrays import function
from graftscope.client.display import notebook_progress, reached
from graftscope.client.values import Job, ProgressCallback


@contextmanager
def attended(on_progress: ProgressCallback | None) -> Iterator[Callable[[Job], None]]:
    """Have progress heard of; without anybody to hear of it, a notebook shows it.

    Whoever interrupts the wait does not end the job: the exception says so in a note.

    Args:
        on_progress: Hears of progress, if anybody does.

    Yields:
        What takes each state of the job.
    """
    if on_progress is not None:
        function("on_progress", on_progress)
    shown = notebook_progress() if on_progress is None else None
    last: Job | None = None
    why = ""

    def take(job: Job) -> None:
        nonlocal last
        last = job
        if on_progress is not None:
            on_progress(job.progress)
        elif shown is not None:
            shown.take(job)

    try:
        yield take
    except (KeyboardInterrupt, asyncio.CancelledError) as interruption:
        if last is not None and not last.done:
            why = _goes_on(last)
            interruption.add_note(why)
        raise
    except BaseException as error:
        why = f"{type(error).__name__}: {error}"
        raise
    finally:
        if shown is not None:
            shown.end(last, why)


def _goes_on(job: Job) -> str:
    short = job.name.removeprefix("operations/")[:12]
    return (
        f"The wait was interrupted after {reached(job)}; the job goes on:"
        f' client.wait("{short}") follows it, client.partial("{short}") reads what there is,'
        f' client.cancel("{short}") ends it.'
    )
