"""What a server is like at the moment at which somebody asks: each metric with what it reads.

Everything here is read, in the thread that answers the scrape, from numbers that the other rooms
keep anyway. Nothing blocks but the count of jobs in the database, which is short.
"""

import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from itertools import product

from graftscope.server.access import Work
from graftscope.server.engine import resident_bytes
from graftscope.server.jobs import JobState
from graftscope.server.telemetry._look import LONGEST_LAG_S, Look
from graftscope.server.telemetry._metrics_declared import Read, Row, Values, counter, gauge
from graftscope.server.workers import SPARES

_CALLS = {
    Work.INTERACTIVE: "interactive",
    Work.EXPLORE: "exploration",
    Work.JOB: "job",
    Work.TRANSFER: "transfer",
    Work.WATCH: "watch",
}

# All of them are told from the start: of a series that begins at 1 no rate sees that it rose.
_ANALYSES = (
    *("influence", "modules", "stability", "magnitude"),
    *("faithfulness", "independence", "reach", "probe"),
)
_ENDS = ("done", "failed", "cancelled", "put_away", "lost")

# Threads are named after what they do, and numbered.
_POOLS = (
    *("interactive", "shard", "cell", "modules", "stability", "worth", "look", "reading", "peers"),
    *("planning", "outlining", "asyncio"),
)


def _lanes(look: Look, attribute: str) -> Values:
    return [
        ((_CALLS[work],), getattr(lane, attribute)) for work, lane in look.admission.lanes.items()
    ]


def _refusals(look: Look) -> Iterator[Row]:
    for work, lane in look.admission.lanes.items():
        for reason in ("full", "share", "deadline"):
            yield (f"{_CALLS[work]}_call", reason), lane.refused[reason]
    for reason in ("full", "share"):
        yield ("queued_job", reason), look.runner.room.refused[reason]
    for reason in ("full", "never"):
        yield ("memory", reason), look.memory.refused.by_key.get(reason, 0)
    yield ("request_to_read", "full"), look.reading.refused


def _hybrids(look: Look) -> Values:
    total = Counter({"hybridize": 0, "explore": 0, "influence": 0})
    for (work, _), number in look.hybrids.items():
        total[work] += number
    return _labelled(total)


def _pairs(look: Look) -> Values:
    total = Counter({"hybridize": 0, "explore": 0})
    for (work, _), number in look.hybrids.items():
        if work in total:
            total[work] += number
    return _labelled({**total, "influence": sum(look.counts.pairs.by_key.values())})


def _jobs(look: Look) -> Values | None:
    if look.jobs is None:
        return None
    return [((state.name.lower(),), look.jobs.get(state, 0)) for state in JobState]


def _jobs_here(look: Look) -> Values:
    return [((name, state.name.lower()), x) for (name, state), x in look.runner.here.items()]


def _started(look: Look) -> Iterator[Row]:
    for analysis in _ANALYSES:
        yield (analysis,), look.counts.started.by_key.get(analysis, 0)


def _ended(look: Look) -> Iterator[Row]:
    for key in product(_ANALYSES, _ENDS):
        yield key, look.counts.ended.by_key.get(key, 0)


def _created(look: Look) -> Iterator[Row]:
    yield from (((kind,), tally.created) for kind, tally in look.objects.items())
    for work, lane in look.admission.lanes.items():
        yield (f"{_CALLS[work]}_call",), lane.entered


def _released(look: Look) -> Iterator[Row]:
    yield from (((kind,), tally.released) for kind, tally in look.objects.items())
    for work, lane in look.admission.lanes.items():
        yield (f"{_CALLS[work]}_call",), lane.entered - lane.going_on


def _processes(look: Look) -> Values:
    return [(("busy",), look.runner.processes.busy), (("spare",), len(SPARES))]


def _threads(_: Look) -> Values:
    names = (thread.name for thread in threading.enumerate())
    found = Counter(next((x for x in _POOLS if name.startswith(x)), "other") for name in names)
    return _labelled(found)


def _stored(look: Look, which: int) -> Values:
    return [((kind,), found[which]) for kind, found in look.runner.expiry.stored.items()]


def _labelled(numbers: Mapping[str, float]) -> Values:
    return [((label,), number) for label, number in numbers.items()]


def _or_none(of: tuple[int, int] | None, which: int) -> Values | None:
    return None if of is None else of[which]


CALLS: tuple[Read[Look], ...] = (
    gauge(
        "graftscope_calls_open",
        "Calls that run or wait now, by kind.",
        lambda look: _lanes(look, "going_on"),
        "kind",
    ),
    gauge(
        "graftscope_calls_limit",
        "The most calls of a kind that may run or wait; further ones are refused, and told when to "
        "ask again.",
        lambda look: _lanes(look, "limit"),
        "kind",
    ),
    counter(
        "graftscope_refusals_total",
        "What was refused for lack of room. of: what there was no room for. reason: full, all room "
        "was taken; share, the caller's own share was taken; deadline, its turn would have come "
        "too late; never, it needs more than the server has.",
        _refusals,
        *("of", "reason"),
    ),
    gauge(
        "graftscope_tasks_waiting",
        "Pieces of interactive calls that wait for a thread.",
        lambda look: look.runs.batching.waiting,
    ),
    counter(
        "graftscope_runs_total",
        "Runs in which interactive calls were computed; graftscope_tasks_total over this is how "
        "many calls share a run.",
        lambda look: look.runs.batching.runs,
    ),
    counter(
        "graftscope_tasks_total",
        "Pieces of interactive calls that were computed in these runs.",
        lambda look: look.runs.batching.tasks,
    ),
)

WORK: tuple[Read[Look], ...] = (
    counter(
        "graftscope_hybrids_total",
        "Hybrids that were computed, one for each pair and intervention, by work: Hybridize, "
        "explorations, influence jobs. Measurements of plans are not counted.",
        _hybrids,
        "work",
    ),
    counter(
        "graftscope_pairs_total",
        "Pairs of samples from which these hybrids were made.",
        _pairs,
        "work",
    ),
    counter(
        "graftscope_samples_total",
        "Images that were generated for Generate.",
        lambda look: sum(look.runs.made_samples.by_key.values()),
    ),
    counter(
        "graftscope_encodings_total",
        "Images that were encoded for Encode.",
        lambda look: sum(look.runs.made_encodings.by_key.values()),
    ),
    counter(
        "graftscope_principal_hybrids_total",
        "Hybrids that were computed, by caller as in graftscope_principal_requests_total.",
        lambda look: look.by_principal((owner, x) for (_, owner), x in look.hybrids.items()),
        "principal",
    ),
)

JOBS: tuple[Read[Look], ...] = (
    gauge(
        "graftscope_jobs",
        "Jobs in the database, by state. All servers of a database report the same numbers.",
        _jobs,
        "state",
    ),
    gauge(
        "graftscope_database_up",
        "1 if the database of jobs could be read for this scrape, otherwise 0.",
        lambda look: float(look.jobs is not None),
    ),
    gauge(
        "graftscope_jobs_here",
        "Jobs that run or wait on this server, by analysis and state.",
        _jobs_here,
        *("analysis", "state"),
    ),
    gauge(
        "graftscope_jobs_limit",
        "The most jobs that may run or wait, on all servers of the database together.",
        lambda look: look.runner.room.limit,
    ),
    counter(
        "graftscope_jobs_started_total",
        "Jobs that this server began to run or continued.",
        _started,
        "analysis",
    ),
    counter(
        "graftscope_jobs_ended_total",
        "Jobs that ended on this server. end: done, failed or cancelled; put_away, because the "
        "server stopped; or lost, because another server had taken the job over.",
        _ended,
        *("analysis", "end"),
    ),
    counter(
        "graftscope_shards_total",
        "Shards of influence jobs that were added up; a shard has up to 32 pairs.",
        lambda look: sum(look.counts.shards.by_key.values()),
    ),
    counter(
        "graftscope_checkpoints_not_kept_total",
        "How often a checkpoint of a job could not be stored, for lack of space or of the "
        "database. The job goes on; after a crash it would continue from an earlier checkpoint.",
        lambda look: sum(look.counts.not_kept.by_key.values()),
    ),
)

MEMORY: tuple[Read[Look], ...] = (
    gauge(
        "graftscope_memory_limit_bytes",
        "How much memory the server may use (--memory).",
        lambda look: look.memory.limit_bytes,
    ),
    gauge(
        "graftscope_memory_room_bytes",
        "The part of that limit for calls, jobs and open sessions; the server itself needs "
        "the rest.",
        lambda look: look.memory.room_bytes,
    ),
    gauge(
        "graftscope_memory_held_bytes",
        "How much of the room is in use, by the estimates made beforehand.",
        lambda look: _labelled(look.memory.held_by),
        "by",
    ),
    gauge(
        "graftscope_memory_waiting",
        "Calls and jobs that wait for memory.",
        lambda look: _labelled(look.memory.waiting),
        "by",
    ),
    gauge(
        "graftscope_memory_resident_bytes",
        "The memory of the process according to the system (resident), without its child "
        "processes.",
        lambda _: resident_bytes(),
    ),
)

SESSIONS: tuple[Read[Look], ...] = (
    gauge(
        "graftscope_sessions_open",
        "Open sessions of ONNX Runtime; each holds the weights of a graph.",
        lambda look: look.sessions[0],
    ),
    gauge(
        "graftscope_sessions_limit",
        "The most sessions and pieces of compiled code that are kept.",
        lambda look: look.pool.limit,
    ),
    counter(
        "graftscope_sessions_opened_total",
        "Sessions that were opened. If it keeps growing, more graphs are in use than stay open.",
        lambda look: look.pool.made.created,
    ),
    counter(
        "graftscope_sessions_closed_total",
        "Sessions that were closed, to open others or to free memory.",
        lambda look: look.pool.made.created - look.sessions[0],
    ),
    counter(
        "graftscope_sessions_opening_seconds_total",
        "Seconds spent on opening sessions, in total.",
        lambda look: look.pool.opening_s,
    ),
    gauge(
        "graftscope_compiled_code",
        "Layers for which compiled code is kept instead of a session.",
        lambda look: look.sessions[1],
    ),
    gauge("graftscope_models", "Models that are served.", lambda look: len(look.models)),
)

OBJECTS: tuple[Read[Look], ...] = (
    counter(
        "graftscope_objects_created_total",
        "Objects that were made since the server started, by kind. Artifacts and checkpoints that "
        "it found when it started count too.",
        _created,
        "kind",
    ),
    counter(
        "graftscope_objects_released_total",
        "Objects that are gone: no part of the server refers to them, and Python has freed them. "
        "Created minus released is how many there are; if that only grows, something leaks.",
        _released,
        "kind",
    ),
    gauge(
        "graftscope_worker_processes",
        "Child processes that find modules: busy, or spare for a minute after their work.",
        _processes,
        "state",
    ),
    gauge(
        "graftscope_event_loop_lag_seconds",
        "Seconds that the event loop, which every call passes through, took to answer this scrape; "
        f"{LONGEST_LAG_S:g} if it did not.",
        lambda look: look.lag_s,
    ),
    gauge(
        "graftscope_event_loop_tasks",
        "Tasks of the event loop: calls, watches and jobs in progress.",
        lambda look: look.tasks,
    ),
    gauge("graftscope_threads", "Threads of the server, by their task.", _threads, "pool"),
)

STORAGE: tuple[Read[Look], ...] = (
    gauge(
        "graftscope_stored_bytes",
        "Bytes of stored files, as counted every five minutes.",
        lambda look: _stored(look, 1),
        "kind",
    ),
    gauge(
        "graftscope_stored_files",
        "Number of stored files, as counted every five minutes.",
        lambda look: _stored(look, 0),
        "kind",
    ),
    gauge(
        "graftscope_stored_limit_bytes",
        "The most bytes that are kept (--keep-gib); the files used longest ago are removed first.",
        lambda look: look.runner.expiry.retention.keep_bytes,
    ),
    gauge(
        "graftscope_stored_look_timestamp_seconds",
        "When the server last looked for files to remove, in seconds since 1970. It does so every "
        "five minutes.",
        lambda look: look.runner.expiry.looked_s,
    ),
    gauge(
        "graftscope_disk_free_bytes",
        "Free bytes on the disk of the state folder.",
        lambda look: _or_none(look.disk, 1),
    ),
    gauge(
        "graftscope_disk_bytes",
        "Size of the disk of the state folder, in bytes.",
        lambda look: _or_none(look.disk, 0),
    ),
)

ACCESS: tuple[Read[Look], ...] = (
    gauge(
        "graftscope_certificate_expires_timestamp_seconds",
        "Until when the certificate that the server shows is good, in seconds since 1970. Absent "
        "without TLS.",
        lambda look: look.certificate_until_s,
    ),
)

STATE = (*CALLS, *WORK, *JOBS, *MEMORY, *SESSIONS, *OBJECTS, *STORAGE, *ACCESS)
