"""What the report says in words: numbers, what a reader should doubt, and verdicts on layers."""

import math
import re

import numpy as np

from graftscope.client.report._data import LayerSection, ReportData
from graftscope.client.values import told_pairs

NO_BREAK = "\N{NO-BREAK SPACE}"


def number(value: float) -> str:
    """Three significant digits, or a dash for NaN."""
    return "–" if math.isnan(value) else f"{value:.3g}"  # noqa: RUF001


def count(value: int) -> str:
    """A whole number with separators for thousands."""
    return f"{value:,}"


def percent(share: float, digits: int = 0) -> str:
    """A share, 0 to 1, in percent, or a dash for NaN.

    Below one percent it has two significant digits, so that no small amount reads as zero.
    """
    if math.isnan(share):
        return "–"  # noqa: RUF001
    amount = 100 * share
    if 0 < amount < 1:
        digits = 1 - math.floor(math.log10(amount))
    return f"{amount:.{digits}f}{NO_BREAK}%"


def with_error(share: float, stderr: float) -> str:
    """A share and its standard error in percent, both to the error's second digit."""
    if not np.isfinite(stderr) or stderr <= 0:
        return percent(share, 1)
    digits = max(1, 1 - math.floor(math.log10(100 * stderr)))
    return f"{100 * share:.{digits}f} ± {100 * stderr:.{digits}f}{NO_BREAK}%"


def with_deviation(value: float, deviation: float) -> str:
    """A number and its deviation, both to the deviation's second digit."""
    if not deviation > 0:
        return number(value)
    digits = max(0, 1 - math.floor(math.log10(deviation)))
    return f"{value:.{digits}f} ± {deviation:.{digits}f}"


def plural(amount: int, word: str) -> str:
    """The amount and the word, with an s where it takes one."""
    return f"{count(amount)} {word}" if amount == 1 else f"{count(amount)} {word}s"


def duration(seconds: float) -> str:
    """Seconds as a person would say them."""
    if seconds < 10:
        return f"{seconds:.1f}{NO_BREAK}s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole}{NO_BREAK}s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes}{NO_BREAK}min {rest:02d}{NO_BREAK}s"
    return f"{minutes // 60}{NO_BREAK}h {minutes % 60:02d}{NO_BREAK}min"


def listing(words: list[str]) -> str:
    """``a``, ``a and b``, ``a, b and c``."""
    if len(words) < 2:
        return "".join(words)
    return f"{', '.join(words[:-1])} and {words[-1]}"


def slug(name: str) -> str:
    """A name made fit for a file name and an HTML id."""
    return re.sub(r"[^A-Za-z0-9]+", "-", name).strip("-").lower() or "layer"


def unbroken(words: str) -> str:
    """The same words, with no line break before a percent sign."""
    return words.replace(" %", f"{NO_BREAK}%")


SAMPLES_DIFFER = 0.01
"""Samples differ when their mean standard deviation is at least this share of the range."""

CHANNELS_ACT = 0.001
"""A layer acts when its strongest channel changes the average pixel by this share of the range."""

ERROR_BOUND = 0.10
"""Pairs are few when the median relative standard error of individual influence is above this."""


SURE_SHARE = 0.5
"""Labels are warned of when a smaller share of them is sure."""


def doubts(data: ReportData) -> tuple[str, ...]:
    """Say what was measured that makes the report doubtful.

    Returns:
        One sentence each, the gravest first; nothing where all is well.
    """
    found = []
    if not samples_differ(data):
        found.append(
            "The samples hardly differ from one another: across them, a pixel varies by only "
            f"{percent(_variation(data), 1)} of the image range (standard deviation, mean over "
            "pixels). The generator may not be trained; its modules then mean nothing."
        )
    for section in data.sections:
        found += _weak(data, section) + _uncertain(section) + _unsure(section)
    return tuple(found)


def samples_differ(data: ReportData) -> bool:
    """Whether the generator makes different samples; one alone is given the benefit of doubt."""
    return len(data.samples) < 2 or _variation(data) >= SAMPLES_DIFFER


def layer_acts(data: ReportData, section: LayerSection) -> bool:
    """Whether any channel of the layer changes the picture enough to speak of."""
    return _strongest(data, section) >= CHANNELS_ACT


def pairs_suffice(section: LayerSection) -> bool:
    """Whether individual influence is known well enough; never so from one pair."""
    return relative_error(section) <= ERROR_BOUND


def relative_error(section: LayerSection) -> float:
    """Median standard error of an individual influence relative to it; NaN where unknown."""
    known = np.isfinite(section.individual_stderr) & (section.individual > 0)
    if not known.any():
        return float("nan")
    return float(np.median(section.individual_stderr[known] / section.individual[known]))


def _weak(data: ReportData, section: LayerSection) -> list[str]:
    if layer_acts(data, section):
        return []
    return [
        f"In the {_name(section)} layer even the strongest channel changes the average pixel by "
        f"only {percent(_strongest(data, section), 1)} of the image range: too little to be "
        "seen. Modules of such channels may be nothing but noise."
    ]


def _uncertain(section: LayerSection) -> list[str]:
    if pairs_suffice(section):
        return []
    if section.pairs_of.max() == 1:
        return [f"From one pair the {_name(section)} layer's standard errors are unknown."]
    error = relative_error(section)
    known = "unknown" if np.isnan(error) else percent(error) + " in the median"
    few = (
        f"{told_pairs(section.pairs_of)} are few: in the {_name(section)} layer the standard error "
        f"of a channel's individual influence is {known}."
    )
    if section.until_sure:
        return [
            f"{few} Each channel stopped as soon as its module was sure, which takes fewer pairs "
            "than its strength does. With --pairs 1000 every channel has as many, and the error is "
            "smaller."
        ]
    return [f"{few} Use more pairs to make it smaller."]


def _unsure(section: LayerSection) -> list[str]:
    known = np.isfinite(section.confidence)
    sure, channels = int(section.sure.sum()), int(known.sum())
    if sure >= SURE_SHARE * channels:
        return []
    return [
        f"In the {_name(section)} layer only {count(sure)} of {plural(channels, 'channel')} would "
        f"surely be in the same module with other pairs of samples."
    ]


def _variation(data: ReportData) -> float:
    spread = data.samples.std(axis=0, dtype=np.float64)  # (c, H, W)
    return float(spread.mean()) / data.range_width


def _strongest(data: ReportData, section: LayerSection) -> float:
    return float(section.individual.max()) / data.range_width


def _name(section: LayerSection) -> str:
    return section.level or section.layer


AGREE_AT = 0.9
"""A seed agrees when at least this share of the channels keep the first seed's module."""

NOTHING_TO_SAY = (
    "What is measured here is too weak to conclude anything from where templates lie or from "
    "how well seeds agree: see the warning at the top."
)
"""In place of a conclusion, where a generator hardly acts."""


def conclusive(data: ReportData, section: LayerSection) -> bool:
    """Whether the layer acts enough for any conclusion."""
    return samples_differ(data) and layer_acts(data, section)


def stability(data: ReportData, section: LayerSection) -> str:
    """Say how stable the modules are; with a reserve, or not at all, where in doubt."""
    if not conclusive(data, section):
        return NOTHING_TO_SAY
    found = " ".join(filter(None, (agreement_sentence(section), consistency_sentence(section))))
    # Where it is known how sure labels are, the page says it.
    if pairs_suffice(section) or np.isfinite(section.confidence).any():
        return found
    return f"{found} With so few pairs this is a first impression, not a finding."


def stability_words(data: ReportData, section: LayerSection) -> str:
    """The same in a few words, for an overview; nothing where nothing can be said."""
    if not conclusive(data, section):
        return ""
    words = []
    if section.consistency is not None:
        words.append(
            f"{percent(section.consistency.mean)} of the labels stay with other channels at hand "
            f"(chance: {percent(section.consistency.chance)})"
        )
    if len(section.seeds) > 1:
        words.append(f"{agreeing_seeds(section)} of {len(section.seeds)} seeds agree")
    return "; ".join(words)


def same_modules(section: LayerSection) -> bool:
    """Whether every seed of the clustering put every channel into the same module."""
    return bool(section.agreement.min() == 1.0)


def agreeing_seeds(section: LayerSection) -> int:
    """How many seeds of the clustering agree with the first, itself included."""
    return int(np.sum(section.agreement >= AGREE_AT))


def agreement_sentence(section: LayerSection) -> str:
    """How many seeds of the clustering agree with the first."""
    seeds, agreeing = len(section.seeds), agreeing_seeds(section)
    if seeds == 1:
        return "The clustering ran with one seed, so nothing is said here of its stability."
    if same_modules(section):
        return f"All {seeds} seeds of the clustering give the same modules, channel by channel."
    agree = f"{agreeing} of {plural(seeds, 'seed')} of the clustering agree"
    if agreeing == 1:
        agree = f"None of the other {plural(seeds - 1, 'seed')} of the clustering agrees"
    return (
        f"{agree} with the first on the modules of at least {percent(AGREE_AT)} of the channels; "
        f"the one least like the first agrees on {percent(float(section.agreement.min()))}."
    )


def consistency_sentence(section: LayerSection) -> str:
    """How far the modules depend on which channels they are found in; empty where unknown."""
    found = section.consistency
    if found is None:
        return ""
    spread = f" ± {percent(found.deviation)}" if np.isfinite(found.deviation) else ""
    return (
        f"Found twice, each time in two of three random thirds of the channels, "
        f"{percent(found.mean)}{spread} of the shared third keep their module "
        f"({plural(found.partitions, 'partition')}, standard deviation); by chance "
        f"{percent(found.chance)} would."
    )


def change_sentence(section: LayerSection) -> str:
    """Which modules' hybrids change more inside their template than outside."""
    inside, outside = section.change.T
    within = [str(module) for module in np.flatnonzero(inside > outside)]
    if len(within) == section.modules == 1:
        return "The hybrids change more inside the template than outside."
    if len(within) == section.modules:
        every = "both" if len(within) == 2 else f"all {len(within)}"
        return f"The hybrids of {every} modules change more inside their template than outside."
    if not within:
        return "The hybrids of no module change more inside their template than outside."
    return (
        f"The hybrids of {'module' if len(within) == 1 else 'modules'} {listing(within)} change "
        "more inside their template than outside; those of the other modules do not."
    )


def pairs_words(section: LayerSection) -> str:
    """The pairs behind the modules' own maps, and whether the modules had seen them."""
    pairs = plural(section.check_pairs, "pair")
    if section.fresh_pairs:
        was = "was" if section.check_pairs == 1 else "were"
        return f"{pairs} that {was} not used to find the modules"
    return f"the same {pairs} that the modules were found with"
