"""Models that were not made here are opened in a child process first, within limits.

    from graftscope.sandbox import Sandbox

    Sandbox().require_file("generator.onnx")    # ModelRefusedError if it is not to be opened
    Sandbox().require_bundle(read_bundle("bundles/faces"))

A crafted file can end the process that opens it, hang it, or take all memory. The child counts
what the file holds before anything is made of it, refuses operations that have no place in a
generator, reckons sizes, and opens and runs it once, with limits on address space, time and
files. What is found good is noted, so it is tried once.

It knows ONNX and ONNX Runtime; it must not know torch, gRPC or the server.
"""

from graftscope.sandbox._known import KnownModels, cache_folder
from graftscope.sandbox._limits import Limits, limits_from_environment
from graftscope.sandbox._reasons import Reason
from graftscope.sandbox._sandbox import Sandbox
from graftscope.sandbox._words import in_our_words
from graftscope.sandbox.errors import ModelRefusedError, SandboxError, SandboxUnavailableError

__all__ = [
    "KnownModels",
    "Limits",
    "ModelRefusedError",
    "Reason",
    "Sandbox",
    "SandboxError",
    "SandboxUnavailableError",
    "cache_folder",
    "in_our_words",
    "limits_from_environment",
]
