"""Figures for print: each takes a frozen dataclass of arrays and gives a matplotlib figure.

They have the width of one column (3.35 inches) or of two (6.9), type of 6.5 points and more at
that size, and the same colour for a level, a method or a module in all of them. `save` writes PNG
and PDF. They must not know gRPC, the client or a server, nor how any number was come by.
Importing this package needs numpy and Pillow alone; matplotlib, of the extra ``report``, is
imported when a figure is drawn.

Influence is given as a share of the image range's width, 0 to 1, and drawn in per cent; images in
the generator's own range. Axis letters: n values, L levels, M methods or modules, K modules,
R repeats, P pairs, c colours, h, w pixels of an image, H, W of a map.

    from pathlib import Path

    import numpy as np
    from graftscope.client.figures.paper import ModuleSeams, Seams, save, seams

    energies = np.linspace(0.01, 0.02, 8)
    figure = seams(Seams([ModuleSeams(energies, energies, 1.0, (0.9, 1.1), 0)], 0.95))
    save(figure, Path("seams"))  # seams.png and seams.pdf
"""

from graftscope.client.figures.paper._clusters import (
    ClusterModule,
    Clusters,
    LevelModules,
    Levels,
    clusters,
    levels,
)
from graftscope.client.figures.paper._dark import save_dark
from graftscope.client.figures.paper._examples import (
    InfluenceExamples,
    LevelExamples,
    influence_examples,
)
from graftscope.client.figures.paper._hybrids import Beta, ModuleSeams, Seams, beta, seams
from graftscope.client.figures.paper._magnitude import (
    LayerMagnitude,
    Line,
    Magnitude,
    PureModule,
    Purity,
    magnitude,
    purity,
)
from graftscope.client.figures.paper._marks import (
    LEVELS,
    METHODS,
    PLACES,
    SOURCES,
    ErrorBars,
    Mark,
    mark_of,
)
from graftscope.client.figures.paper._page import save
from graftscope.client.figures.paper._probe import ProbeBar, ProbeBars, probe
from graftscope.client.figures.paper._reach import Reach, ReachCurve, ReachTarget, reach
from graftscope.client.figures.paper._sensitivity import (
    Originals,
    Sensitivity,
    Setting,
    Sweep,
    originals,
    sensitivity,
)
from graftscope.client.figures.paper._stability import (
    LayerStability,
    Methods,
    Stability,
    methods,
    stability,
)
from graftscope.client.figures.paper._table import Cell, Table1, table1
from graftscope.client.figures.paper._worth import LayerWorth, faithfulness

__all__ = [
    "LEVELS",
    "METHODS",
    "PLACES",
    "SOURCES",
    "Beta",
    "Cell",
    "ClusterModule",
    "Clusters",
    "ErrorBars",
    "InfluenceExamples",
    "LayerMagnitude",
    "LayerStability",
    "LayerWorth",
    "LevelExamples",
    "LevelModules",
    "Levels",
    "Line",
    "Magnitude",
    "Mark",
    "Methods",
    "ModuleSeams",
    "Originals",
    "ProbeBar",
    "ProbeBars",
    "PureModule",
    "Purity",
    "Reach",
    "ReachCurve",
    "ReachTarget",
    "Seams",
    "Sensitivity",
    "Setting",
    "Stability",
    "Sweep",
    "Table1",
    "beta",
    "clusters",
    "faithfulness",
    "influence_examples",
    "levels",
    "magnitude",
    "mark_of",
    "methods",
    "originals",
    "probe",
    "purity",
    "reach",
    "save",
    "save_dark",
    "seams",
    "sensitivity",
    "stability",
    "table1",
]
