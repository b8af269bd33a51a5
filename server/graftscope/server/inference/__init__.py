"""The Open Inference Protocol (KServe v2) over the same models, runs and limits.

Models, halves and hybrids have names, inputs and outputs there as any served model has. It must not
know jobs; messages are known to `_tensors`, `_servicer` and `_protocol` alone.
"""

from graftscope.server.inference._protocol import SERVICE, add_to_server, described
from graftscope.server.inference._servicer import InferenceServicer
from graftscope.server.inference._tensors import REPLY_LIMIT_BYTES

__all__ = ["REPLY_LIMIT_BYTES", "SERVICE", "InferenceServicer", "add_to_server", "described"]
