"""This engine, a shard a worker and single-threaded runs side by side, as a job runs it."""

import numpy as np

from benchmarks.setting import NotHere, Setting
from benchmarks.ways._way import Maps, Way
from graftscope.graph.rewrites import COMPILE
from graftscope.server.engine import (
    Cancellation,
    ChannelSets,
    Plan,
    Trial,
    choose,
    shard_effects,
)
from graftscope.server.errors import PrecisionUnavailable

CPU = "CPUExecutionProvider"

# What a job has unless it is told otherwise; the engine measures plans only where that pays.
JOB_PAIRS = 1_000


def variants(setting: Setting, precision: str, workers: int) -> list[Way]:
    """The plan that the engine chooses for a job in this precision.

    Raises:
        NotHere: the machine does not run it.
    """
    subject = subject_of(setting)
    return [_way(setting, subject, chosen_plan(setting, subject, precision), workers)]


def subject_of(setting: Setting) -> ChannelSets:
    """Every channel by itself."""
    sets = np.eye(setting.channels, setting.layer.channels, dtype=np.bool_)
    generator = setting.model.generator
    return ChannelSets(generator, setting.layer, sets, generator.areas(0))


def chosen_plan(
    setting: Setting,
    subject: ChannelSets,
    precision: str,
    provider: str = "",
    *,
    compiled: bool = True,
) -> Plan:
    """The plan that a job of this precision would get.

    Args:
        setting: what is computed.
        subject: the same, as the engine knows it.
        precision: fp32 or bf16.
        provider: the only execution provider to choose from; empty for all.
        compiled: whether code may be compiled; else only graphs are chosen from.

    Raises:
        NotHere: the machine does not run it.
    """
    try:
        backends = setting.model.generator.backends(precision)
    except PrecisionUnavailable as error:
        # The rest of the message lists what can be run.
        raise NotHere(str(error).split(";")[0]) from error
    allowed = [x for x in backends if provider in ("", x.provider)]
    plans = subject.candidates(allowed)
    candidates = [plan for plan in plans if compiled or COMPILE not in plan.rewrites]
    return choose(Trial(subject, setting.source, range(JOB_PAIRS), Cancellation()), candidates)


def described(plan: Plan) -> str:
    """A plan in words."""
    rewrites = f", {' + '.join(plan.rewrites)}" if plan.rewrites else ""
    return f"{plan.batch} pairs x {plan.sets} sets, {plan.provider}{rewrites}"


def _way(setting: Setting, subject: ChannelSets, plan: Plan, workers: int) -> Way:
    pairs, hybrids = range(setting.pairs), setting.pairs * setting.channels

    def maps(channels: int) -> Maps:
        effects = shard_effects(subject, plan, setting.source, pairs, Cancellation())
        return effects.moments.mean[:channels]

    def step() -> int:
        maps(0)
        return hybrids

    return Way(f"{described(plan)}, {workers} x 1 thread", maps, [step] * workers)
