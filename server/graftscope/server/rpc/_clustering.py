"""From requests about maps to specifications: modules and their stability.

It must not know models, or how jobs run.
"""

from dataclasses import dataclass

from graftscope.server.analysis import (
    DEFAULT_METHODS,
    DEFAULT_REPEATS,
    Method,
    require_between,
    require_distinct,
    require_smoothing,
)
from graftscope.server.errors import InvalidInput
from graftscope.server.jobs import GROUPS, ArrayRef, ModulesSpec, StabilitySpec
from graftscope.server.rpc._arrays import Arrays
from graftscope.server.rpc._checks import check_ks, smoothing
from graftscope.server.rpc._versions import method
from graftscope.v1 import analysis_service_pb2, tensor_pb2

MAX_SEEDS = 100
MAX_REPEATS = 1000

_FLOATS = ("FP32", "FP64")


@dataclass(frozen=True)
class ClusteringRequests:
    """Parses requests against the arrays that there are."""

    arrays: Arrays

    async def modules(self, request: analysis_service_pb2.ModulesRequest) -> ModulesSpec:
        """The specification of a modules job.

        Raises:
            InvalidInput: a value is not allowed.
            NotFound: an array does not exist.
            Unsupported: the method is not implemented.
        """
        chosen = method(request.method)
        maps = await self._maps(request.maps)
        groups = await self._groups(request, maps)
        spec = ModulesSpec(
            maps=maps,
            k=request.k,
            method=chosen,
            seeds=tuple(request.seeds) or (0,),
            **smoothing(request),
            products=await self._products(request.products, maps, (chosen,)),
            min_purity=request.min_purity,
            group_maps=groups.get("group_maps"),
            group_pairs=groups.get("group_pairs"),
            group_units=groups.get("group_units"),
            group_products=await self._group_products(request, groups, chosen),
        )
        _check_modules(spec)
        return spec

    async def stability(self, request: analysis_service_pb2.StabilityRequest) -> StabilitySpec:
        """The specification of a stability job. Raises as `modules`."""
        chosen = tuple(method(number) for number in request.methods)
        methods = chosen or tuple(default.value for default in DEFAULT_METHODS)
        maps = await self._maps(request.maps)
        spec = StabilitySpec(
            maps=maps,
            ks=tuple(sorted(request.ks)),
            methods=methods,
            repeats=request.repeats or DEFAULT_REPEATS,
            seed=request.seed,
            **smoothing(request),
            products=await self._products(request.products, maps, methods),
        )
        _check_stability(spec)
        return spec

    async def _maps(self, array: tensor_pb2.Array) -> ArrayRef:
        maps = await self.arrays.refer(array, "maps")
        if len(maps.shape) != 3 or maps.datatype not in _FLOATS:
            raise InvalidInput(
                f"maps are {maps.datatype} of shape {list(maps.shape)}; FP64 or FP32 of shape "
                "(C, H, W) is needed",
                field="maps",
            )
        if 0 in maps.shape:
            raise InvalidInput(
                f"maps of shape {list(maps.shape)} hold no map; at least one is needed",
                field="maps",
            )
        return maps

    async def _products(
        self, array: tensor_pb2.Array, maps: ArrayRef, methods: tuple[str, ...]
    ) -> ArrayRef | None:
        """The products, where a method looks at them; what no method needs decides nothing."""
        needing = [name for name in methods if Method(name).needs_products]
        if not needing:
            return None
        if array.WhichOneof("source") is None:
            raise InvalidInput(
                f"method {needing[0]} needs products of the channels' effects; ask for influence "
                "with `products` and name them beside the maps",
                field="products",
            )
        products = await self.arrays.refer(array, "products")
        channels = maps.shape[0]
        if products.shape != (channels, channels) or products.datatype not in _FLOATS:
            raise InvalidInput(
                f"products are {products.datatype} of shape {list(products.shape)}; FP64 or FP32 "
                f"of shape ({channels}, {channels}) is needed for these maps",
                field="products",
            )
        return products

    async def _groups(
        self, request: analysis_service_pb2.ModulesRequest, maps: ArrayRef
    ) -> dict[str, ArrayRef]:
        """Means over groups of pairs: those that are given, or the operation's whose maps are."""
        given = {name: getattr(request, name) for name in GROUPS}
        absent = [name for name, each in given.items() if each.WhichOneof("source") is None]
        if len(absent) == len(given):
            is_maps = request.maps.result.array == "maps"
            return await self.arrays.beside(request.maps, GROUPS, "maps") if is_maps else {}
        if absent:
            raise InvalidInput(
                f"{absent[0]} is missing; {', '.join(GROUPS)} are given together or not at all",
                field=absent[0],
            )
        found = {name: await self.arrays.refer(each, name) for name, each in given.items()}
        groups = next(iter(found["group_maps"].shape), 0)
        wanted = {
            "group_maps": ("FP16", (groups, *maps.shape)),
            "group_pairs": ("INT64", (groups, maps.shape[0])),
            "group_units": ("FP64", maps.shape[:1]),
        }
        for name, ref in found.items():
            datatype, shape = wanted[name]
            if (ref.datatype, ref.shape) != (datatype, shape):
                raise InvalidInput(
                    f"{name} is {ref.datatype} of shape {list(ref.shape)}; {datatype} of shape "
                    f"{list(shape)} is needed for these maps",
                    field=name,
                )
        return found

    async def _group_products(
        self,
        request: analysis_service_pb2.ModulesRequest,
        groups: dict[str, ArrayRef],
        chosen: str,
    ) -> ArrayRef | None:
        """Likewise of products, where the method looks at those."""
        name, array = "group_products", request.group_products
        if not Method(chosen).needs_products:
            return None
        if array.WhichOneof("source") is None:
            beside_maps = groups and request.group_maps.WhichOneof("source") is None
            found = await self.arrays.beside(request.maps, (name,), "maps") if beside_maps else {}
            return found.get(name)
        if not groups:
            raise InvalidInput(f"{name} are given with {', '.join(GROUPS)}", field=name)
        ref = await self.arrays.refer(array, name)
        wanted = (*groups["group_pairs"].shape, groups["group_pairs"].shape[1])
        if (ref.datatype, ref.shape) != ("FP32", wanted):
            raise InvalidInput(
                f"{name} are {ref.datatype} of shape {list(ref.shape)}; FP32 of shape "
                f"{list(wanted)} is needed for these maps",
                field=name,
            )
        return ref


def _check_modules(spec: ModulesSpec) -> None:
    """Refuses what can be told without looking at the maps; the job itself finds the rest."""
    require_between("k", spec.k, 1, spec.maps.shape[0])
    if len(spec.seeds) > MAX_SEEDS:
        raise InvalidInput(
            f"{len(spec.seeds)} seeds are named; at most {MAX_SEEDS} are allowed", field="seeds"
        )
    require_distinct("seeds", spec.seeds)
    require_between("min_purity", spec.min_purity, 0, 1)
    require_smoothing(spec.window, spec.percentile, max(spec.maps.shape[1:]))


def _check_stability(spec: StabilitySpec) -> None:
    """Likewise."""
    check_ks(spec.ks, spec.maps.shape[0])
    require_distinct("methods", spec.methods)
    if spec.repeats > MAX_REPEATS:
        raise InvalidInput(
            f"repeats is {spec.repeats}; at most {MAX_REPEATS} are allowed", field="repeats"
        )
    require_smoothing(spec.window, spec.percentile, max(spec.maps.shape[1:]))
