"""A modules job: influence maps in, modules out (section 3.3).

It must not know databases, watchers or gRPC.
"""

import numpy as np

from graftscope.server.analysis import Method, seed_consensus, without_impure
from graftscope.server.engine import Cancellation
from graftscope.server.jobs._artifacts import ArtifactStore
from graftscope.server.jobs._specification import ModulesSpec
from graftscope.server.jobs._store import Result


def run_modules(spec: ModulesSpec, artifacts: ArtifactStore, cancellation: Cancellation) -> Result:
    """Finds the modules under the first seed, and how far they depend on it.

    Raises:
        AnalysisError: the maps or K are not allowed, or the method did not converge.
        Corrupt: the stored maps are damaged.
        Cancelled: the job was cancelled; seen between two seeds.
    """
    maps = artifacts.get(spec.maps, "maps")
    consensus = seed_consensus(
        maps,
        spec.k,
        Method(spec.method),
        spec.seeds,
        spec.window,
        spec.percentile,
        products=None if spec.products is None else artifacts.get(spec.products, "products"),
        before_each=cancellation.check,
    )
    first = consensus.runs[0]
    runs = [without_impure(run, spec.min_purity) for run in consensus.runs]
    impure = np.count_nonzero(runs[0].labels != first.labels)
    arrays = {
        "labels": runs[0].labels,
        "templates": first.templates,
        "weights": first.weights,
        "purity": first.purity,
        "seed_labels": np.stack([run.labels for run in runs]),
        "seed_templates": np.stack([run.templates for run in consensus.runs]),
        "agreement": consensus.label_agreement,
        "cosine": consensus.template_cosine,
    }
    return Result(
        arrays={name: artifacts.put(array) for name, array in arrays.items()},
        scalars={
            "seeds_agreeing": consensus.agreeing_count,
            "method": spec.method,
            "impure": int(impure),
        },
    )
