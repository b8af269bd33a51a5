"""Modules of two layers, or of two models, side by side: which go together, and how alike they are.

Arrays in, a value out: it must not know the command line, files, servers or clients.
"""

from graftscope.client.comparing._comparison import ALIKE, Comparison, compare
from graftscope.client.comparing._matching import best_match

__all__ = ["ALIKE", "Comparison", "best_match", "compare"]
