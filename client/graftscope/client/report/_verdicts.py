"""What the report concludes of a layer, in sentences. It must not know HTML."""

import numpy as np

from graftscope.client.report._data import LayerSection, ReportData
from graftscope.client.report._doubts import layer_acts, pairs_suffice, samples_differ
from graftscope.client.report._words import listing, percent, plural

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


def conclusion(data: ReportData, section: LayerSection) -> str:
    """Conclude from what was measured; with a reserve, or not at all, where in doubt."""
    if not conclusive(data, section):
        return NOTHING_TO_SAY
    told = (agreement_sentence, consistency_sentence, change_sentence)
    found = " ".join(filter(None, (sentence(section) for sentence in told)))
    if pairs_suffice(section):
        return found
    return f"{found} With so few pairs this is a first impression, not a finding."


def agreeing_seeds(section: LayerSection) -> int:
    """How many seeds of the clustering agree with the first, itself included."""
    return int(np.sum(section.agreement >= AGREE_AT))


def agreement_sentence(section: LayerSection) -> str:
    """How many seeds of the clustering agree with the first."""
    seeds, agreeing = len(section.seeds), agreeing_seeds(section)
    if seeds == 1:
        return "The clustering ran with one seed, so nothing is said here of its stability."
    agree = f"{agreeing} of {plural(seeds, 'seed')} of the clustering agree"
    if section.agreement.min() == 1.0:
        return f"{agree}, on every channel."
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
