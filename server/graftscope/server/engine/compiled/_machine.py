"""What the processor offers, and code compiled for it."""

import ctypes
import functools
from collections.abc import Callable
from typing import TypeAlias

import llvmlite.binding as llvm
from llvmlite import ir

from graftscope.server.engine.compiled._blocks import Registers

# The widest registers that a processor may have, and how many of them may hold sums.
_WIDE = Registers(lanes=16, sums=24)
_MIDDLE = Registers(lanes=8, sums=12)
_NARROW = Registers(lanes=4, sums=24)

# What is written is unrolled and in vectors already; more would take longer and gain nothing.
_LEVEL = 2

Function: TypeAlias = Callable[..., None]


@functools.cache
def registers() -> Registers | None:
    """This processor's; None where it has no fused multiply-add that code here is written for."""
    _initialize()
    triple = llvm.get_process_triple()
    if triple.startswith(("aarch64", "arm64")):
        return _NARROW
    if not triple.startswith("x86_64"):
        return None
    features = llvm.get_host_cpu_features()
    if features.get("avx512f"):
        return _WIDE
    return _MIDDLE if features.get("avx2") and features.get("fma") else None


@functools.cache
def _initialize() -> None:
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()


def features(chosen: Registers) -> str:
    """The processor's features, without those of wider registers than are chosen."""
    found = llvm.get_host_cpu_features()
    for name in found:
        if name.startswith("avx512") and chosen.lanes < _WIDE.lanes:
            found[name] = False
    return str(found.flatten())


class Compiled:
    """Functions of one module; they live as long as this does.

    Args:
        module: what is compiled.
        chosen: the registers that it is written for.
    """

    def __init__(self, module: ir.Module, chosen: Registers) -> None:
        _initialize()
        parsed = llvm.parse_assembly(str(module))
        parsed.verify()
        machine = llvm.Target.from_default_triple().create_target_machine(
            cpu=llvm.get_host_cpu_name(), features=features(chosen), opt=_LEVEL
        )
        options = llvm.create_pipeline_tuning_options(speed_level=_LEVEL)
        options.loop_unrolling = options.loop_vectorization = options.slp_vectorization = False
        builder = llvm.create_pass_builder(machine, options)
        builder.getModulePassManager().run(parsed, builder)
        self._engine = llvm.create_mcjit_compiler(parsed, machine)
        self._engine.finalize_object()

    def function(self, name: str, *arguments: type) -> Function:
        """One of them, which lets other threads run while it does.

        Args:
            name: of the function.
            arguments: types of ctypes.
        """
        address = self._engine.get_function_address(name)
        return ctypes.CFUNCTYPE(None, *arguments)(address)
