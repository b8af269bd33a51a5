"""What a server's jobs have come to, in numbers, for whoever watches it."""

from dataclasses import dataclass, field

from graftscope.server.tally import Counts, Tally


@dataclass(frozen=True)
class JobCounts:
    """What is counted of the jobs that this server runs.

    Attributes:
        live: those that run or wait, until nobody has anything of them any more.
        started: by analysis; taken up ones too.
        ended: by analysis and how: done, failed, cancelled; put away, for another server or the
            next start; or lost to another server.
        hybrids: that were added to sums, by whose job it is.
        pairs: likewise.
        shards: likewise.
        not_kept: how often sums could not be kept, by whose job it is.
    """

    live: Tally = field(default_factory=Tally)
    started: Counts[str] = field(default_factory=Counts[str])
    ended: Counts[tuple[str, str]] = field(default_factory=Counts[tuple[str, str]])
    hybrids: Counts[str] = field(default_factory=Counts[str])
    pairs: Counts[str] = field(default_factory=Counts[str])
    shards: Counts[str] = field(default_factory=Counts[str])
    not_kept: Counts[str] = field(default_factory=Counts[str])
