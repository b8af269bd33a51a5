"""Which operation a node is: by domain and type, since a type alone says nothing.

ONNX Runtime's `com.microsoft.nchwc` has a `Conv` too, whose tensors are blocks of memory. So rules
name operations as `operation` does, and compare with nothing else.
"""

import onnx_ir as ir


def operation(node: ir.Node) -> str:
    """Return a node's type, such as `Conv`; behind its domain where that is not ONNX's own.

    `com.microsoft::FusedConv` is such another, which equals no name that a rule has.
    """
    return f"{node.domain}::{node.op_type}" if node.domain else node.op_type
