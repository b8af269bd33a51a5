"""What is found as PyTorch code: forward hooks that people paste where they work.

It must not know files or servers; it writes code and never runs any.
"""

from graftscope.client.hooks._grafts import TorchGraft, torch_hybrid_code
from graftscope.client.hooks._modules import torch_code
from graftscope.client.hooks._places import torch_hook, torch_place, torch_variables

__all__ = [
    "TorchGraft",
    "torch_code",
    "torch_hook",
    "torch_hybrid_code",
    "torch_place",
    "torch_variables",
]
