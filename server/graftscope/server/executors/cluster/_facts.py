"""What of a machine decides whether it computes the same bits, and what is told where it does not.

It must not import Ray.
"""

import hashlib
import platform
import socket
from dataclasses import dataclass, fields
from importlib.metadata import version
from pathlib import Path

import numpy as np
import onnxruntime as ort

import graftscope.codec
import graftscope.graph
from graftscope.server.engine import ARITHMETIC_VERSION, processor_here
from graftscope.server.errors import ClusterUnavailable

_SERVER = Path(__file__).parents[2]


@dataclass(frozen=True)
class Facts:
    """About one machine's installation.

    Attributes:
        host: the machine's name.
        processor: where it differs, the last bits of a result may.
        graftscope, code: the version, and a checksum of what computes.
        arithmetic: `ARITHMETIC_VERSION`.
        onnxruntime, numpy, python: versions.
    """

    host: str
    processor: str
    graftscope: str
    code: str
    arithmetic: int
    onnxruntime: str
    numpy: str
    python: str


_MUST_BE_EQUAL = tuple(x.name for x in fields(Facts) if x.name not in ("host", "processor"))


def facts_here() -> Facts:
    """Of this machine."""
    return Facts(
        host=socket.gethostname(),
        processor=processor_here(),
        graftscope=version("graftscope"),
        code=_checksum(),
        arithmetic=ARITHMETIC_VERSION,
        onnxruntime=ort.__version__,
        numpy=np.__version__,
        python=platform.python_version(),
    )


def require_equal(node: Facts, ours: Facts) -> None:
    """Refuses a machine whose results could have other bits.

    Raises:
        ClusterUnavailable: a version differs; it names the machine and all that differ.
    """
    other = [name for name in _MUST_BE_EQUAL if getattr(node, name) != getattr(ours, name)]
    if other:
        told = ", ".join(f"{x} {getattr(node, x)} (here {getattr(ours, x)})" for x in other)
        raise ClusterUnavailable(
            f"node {node.host!r} of the cluster has {told}: results would not have the same bits; "
            "install the same there as here"
        )


def _checksum() -> str:
    """Of the source of what computes: two checkouts may have one version."""
    found = hashlib.sha256()
    folders = (_SERVER, *map(Path, (*graftscope.codec.__path__, *graftscope.graph.__path__)))
    for folder in folders:
        for path in sorted(folder.rglob("*.py")):
            found.update(path.read_bytes())
    return found.hexdigest()[:12]
