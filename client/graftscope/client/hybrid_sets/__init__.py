"""Labelled sets of hybrids: images, and a table that says where each of their modules comes from.

They are for training and testing classifiers: swapping a module that a label does not depend on
gives an image that must keep its label. It must not know the command line.
"""

from graftscope.client.hybrid_sets._cost import SetCost, set_cost
from graftscope.client.hybrid_sets._export import MODULES, check_recipe, export_hybrids
from graftscope.client.hybrid_sets._rows import REST, HybridRow, rows_of
from graftscope.client.hybrid_sets._wanted import HybridSet

__all__ = [
    "MODULES",
    "REST",
    "HybridRow",
    "HybridSet",
    "SetCost",
    "check_recipe",
    "export_hybrids",
    "rows_of",
    "set_cost",
]
