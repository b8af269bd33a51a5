# methods are named by the contract
"""A Graftscope server for tests of the client: the toy of `_fake_model`, and faults on demand."""

import hashlib
import threading
from collections.abc import Iterator, Mapping
from concurrent import futures
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import google_crc32c
import grpc
import numpy as np
from google.longrunning import operations_pb2, operations_pb2_grpc
from google.protobuf import empty_pb2
from google.protobuf.message import Message
from numpy.typing import NDArray

from _fake_model import CHANNELS, DIGEST, SIDE, draw, manifest, render
from _fake_results import (
    CORRECTED_PAIRS,
    LAYERS,
    corrections,
    influence_arrays,
    lines,
    magnitude_arrays,
    modules_arrays,
    stability_arrays,
    suggested,
)
from _fake_status import pack, refuse, status
from graftscope import codec
from graftscope.v1 import (
    analysis_service_pb2,
    analysis_service_pb2_grpc,
    artifact_service_pb2,
    artifact_service_pb2_grpc,
    bundle_pb2,
    intervention_pb2,
    model_service_pb2,
    model_service_pb2_grpc,
    originals_pb2,
    precision_pb2,
    tensor_pb2,
)

DTYPES = {
    "BOOL": "?",
    "UINT8": "u1",
    "INT32": "<i4",
    "INT64": "<i8",
    "FP16": "<f2",
    "FP32": "<f4",
    "FP64": "<f8",
}
Array = NDArray[np.generic]


@dataclass
class Faults:
    """What goes wrong, and how large things are; tests change it while the server runs."""

    version: str | None = "0.1.0"
    inline_limit_bytes: int = 1 << 20
    chunk_bytes: int = 1 << 20
    page_size: int = 100
    broken_watches: int = 0
    broken_reads: int = 0
    corrupt_chunks: int = 0
    damaged_byte: int | None = None
    wrong_artifact: bool = False
    job_error: tuple[grpc.StatusCode, str, str] | None = None
    refusals: dict[str, tuple[grpc.StatusCode, str, str, str]] = field(default_factory=dict)
    overloads: dict[str, int] = field(default_factory=dict)
    """How often each method is refused before it is answered."""
    overload_s: float = 0.001
    """The time that is told of them."""
    answered_already: bool = False
    shards_kept: int = 0
    ids: list[str] = field(default_factory=list)
    """What the next operations are called, instead of being numbered."""
    digest: str = DIGEST
    layer_kind: Any = bundle_pb2.LAYER_KIND_MAP
    go_on: threading.Event = field(default_factory=threading.Event)
    calls: list[str] = field(default_factory=list)
    asked: list[Message] = field(default_factory=list)
    watched: list[analysis_service_pb2.WatchOperationRequest] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.go_on.set()


Context = grpc.ServicerContext


@dataclass
class Base:
    """What all servicers share."""

    faults: Faults
    stored: dict[str, bytes]
    operations: dict[str, operations_pb2.Operation]

    def enter(self, method: str, context: Context) -> None:
        self.faults.calls.append(method)
        if self.faults.version is not None:
            context.send_initial_metadata((("graftscope-version", self.faults.version),))
        if self.faults.overloads.get(method, 0):
            self.faults.overloads[method] -= 1
            code, after_s = grpc.StatusCode.RESOURCE_EXHAUSTED, self.faults.overload_s
            refuse(context, code, "too many calls", "OVERLOADED", retry_after_s=after_s)
        if method in self.faults.refusals:
            refuse(context, *self.faults.refusals[method])

    def read(self, array: tensor_pb2.Array, context: Context) -> Array:
        match array.WhichOneof("source"):
            case "tensor":
                return parsed(array.tensor.data, array.tensor)
            case "artifact":
                return parsed(self.stored[array.artifact.sha256], array.artifact)
            case _:
                response = analysis_service_pb2.InfluenceResponse()
                self.operations[array.result.operation].response.Unpack(response)
                return self.read(getattr(response, array.result.array), context)

    def write(self, array: Array) -> tensor_pb2.Array:
        datatype = next(name for name, code in DTYPES.items() if np.dtype(code) == array.dtype)
        data = array.tobytes()
        if len(data) <= self.faults.inline_limit_bytes:
            tensor = tensor_pb2.Tensor(datatype=datatype, shape=array.shape, data=data)
            return tensor_pb2.Array(tensor=tensor)
        sha256 = hashlib.sha256(data).hexdigest()
        self.stored[sha256] = data
        artifact = tensor_pb2.Artifact(sha256=sha256, datatype=datatype, shape=array.shape)
        return tensor_pb2.Array(artifact=artifact)

    def edited(self, intervention: intervention_pb2.Intervention, context: Context) -> list[int]:
        """The channels of all edits: the toy has one set of them, and every edit swaps."""
        chosen: list[int] = []
        for edit in intervention.edits:
            check_layer(edit.layer, context)
            if edit.WhichOneof("target") == "channels":
                chosen += edit.channels.indices
            else:
                labels = self.read(edit.module.labels, context)
                chosen += np.flatnonzero(labels == edit.module.index).tolist()
        return chosen

    def pairs(
        self, pairs: originals_pb2.Pairs, context: Context
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        match pairs.originals.WhichOneof("source"):
            case "latents":
                both = (pairs.originals.latents.latents1, pairs.originals.latents.latents2)
                first, second = (self.read(side.inputs["z"], context) for side in both)
                return first.astype(np.float32), second.astype(np.float32)
            case "image_pairs":
                images = pairs.originals.image_pairs
                first = encode(self.read(images.images1, context))
                return first, encode(self.read(images.images2, context))
            case _:
                indices = range(pairs.first, pairs.first + pairs.count)
                sides = [np.stack([draw(pairs.seed, i, w) for i in indices]) for w in (1, 2)]
                return sides[0], sides[1]


def parsed(data: bytes, described: tensor_pb2.Tensor | tensor_pb2.Artifact) -> Array:
    return np.frombuffer(data, DTYPES[described.datatype]).reshape(tuple(described.shape))


def encode(images: Array) -> NDArray[np.float32]:
    """(B, C) latents of (B, H, W, 3) bytes: the mean brightness of each channel's rows."""
    unit = images.astype(np.float32).mean(axis=3) / 127.5 - 1
    return np.stack([unit[:, 2 * (c // 2)].mean(axis=1) for c in range(CHANNELS)], axis=1)


def execution(asked: int = precision_pb2.PRECISION_FP32) -> precision_pb2.Execution:
    """What ran: float32, or whatever else was asked for by another provider."""
    if asked in (precision_pb2.PRECISION_UNSPECIFIED, precision_pb2.PRECISION_FP32):
        return precision_pb2.Execution(
            model_digest=DIGEST,
            precision=precision_pb2.PRECISION_FP32,
            provider="CPUExecutionProvider",
        )
    auto = asked == precision_pb2.PRECISION_AUTO
    return precision_pb2.Execution(
        model_digest=DIGEST,
        precision=precision_pb2.PRECISION_BF16 if auto else asked,  # type: ignore[arg-type]
        provider="OpenVINOExecutionProvider",
        rewrites=["fold", "share"],
        deviation=precision_pb2.Deviation(
            pairs=8, sets=6, individual_median=0.001, individual_worst=0.0125, worst=0.05
        ),
    )


class Models(Base, model_service_pb2_grpc.ModelServiceServicer):
    def _model(self) -> model_service_pb2.Model:
        bundle = manifest()
        bundle.digest = self.faults.digest
        bundle.layers[0].kind = self.faults.layer_kind
        return model_service_pb2.Model(name="models/toy", bundle=bundle)

    def ListModels(self, request, context):  # type: ignore[no-untyped-def]
        self.enter("ListModels", context)
        return model_service_pb2.ListModelsResponse(models=[self._model()])

    def GetModel(self, request, context):  # type: ignore[no-untyped-def]
        self.enter("GetModel", context)
        if request.name != "models/toy":
            text = f"model {request.name!r} is not served; there are: models/toy"
            refuse(context, grpc.StatusCode.NOT_FOUND, text, "NOT_FOUND", "name")
        return model_service_pb2.GetModelResponse(model=self._model())

    def RegisterModel(self, request, context):  # type: ignore[no-untyped-def]
        self.enter("RegisterModel", context)
        return model_service_pb2.RegisterModelResponse(model=self._model())

    def DeleteModel(self, request, context):  # type: ignore[no-untyped-def]
        self.enter("DeleteModel", context)
        return model_service_pb2.DeleteModelResponse()

    def Generate(self, request, context):  # type: ignore[no-untyped-def]
        self.enter("Generate", context)
        self.faults.asked.append(request)
        if request.WhichOneof("latents_source") == "latents":
            latents = self.read(request.latents.inputs["z"], context).astype(np.float32)
        else:
            latents = self.pairs(request.samples, context)[max(request.original, 1) - 1]
        return model_service_pb2.GenerateResponse(
            images=self.write(render(latents)),
            latents=originals_pb2.Latents(inputs={"z": self.write(latents)}),
            execution=execution(request.precision),
        )

    def Encode(self, request, context):  # type: ignore[no-untyped-def]
        self.enter("Encode", context)
        mean = encode(self.read(request.images, context))
        return model_service_pb2.EncodeResponse(
            mean=originals_pb2.Latents(inputs={"z": self.write(mean)}),
            log_variance=originals_pb2.Latents(inputs={"z": self.write(np.zeros_like(mean))}),
            execution=execution(request.precision),
        )

    def Hybridize(self, request, context):  # type: ignore[no-untyped-def]
        self.enter("Hybridize", context)
        self.faults.asked.append(request)
        chosen = self.edited(request.intervention, context)
        first, second = self.pairs(request.pairs, context)
        mixed = first.copy()
        mixed[:, chosen] = second[:, chosen]
        return model_service_pb2.HybridizeResponse(
            original1=self.write(render(first)),
            original2=self.write(render(second)),
            hybrid=self.write(render(mixed)),
            execution=execution(request.precision),
        )

    def Explore(self, requests, context):  # type: ignore[no-untyped-def]
        self.enter("Explore", context)
        for request in requests:
            self.faults.asked.append(request)
            made: dict[str, Any] = {}
            if request.HasField("start"):
                first, second = self.pairs(request.start.pairs, context)
                made["original1"] = self.write(render(first))
                made["original2"] = self.write(render(second))
                made["execution"] = execution(0)
            if request.HasField("intervention"):
                chosen = self.edited(request.intervention, context)
                mixed = first.copy()
                mixed[:, chosen] = second[:, chosen]
                made["hybrid"] = self.write(render(mixed))
            yield model_service_pb2.ExploreResponse(number=request.number, **made)


def check_layer(layer: str, context: Context) -> None:
    if layer not in ("conv1", "conv2", "coarse", "intermediate"):
        text = f"layer {layer!r} is not in model 'toy'; it has: conv1, conv2"
        refuse(context, grpc.StatusCode.INVALID_ARGUMENT, text, "INVALID_INPUT", "layer")


class Artifacts(Base, artifact_service_pb2_grpc.ArtifactServiceServicer):
    def PutArtifact(self, requests, context):  # type: ignore[no-untyped-def]
        self.enter("PutArtifact", context)
        artifact = next(requests).artifact
        chunks = [request.chunk for request in requests]
        for chunk in chunks:
            assert google_crc32c.value(chunk.data) == chunk.crc32c
            assert len(chunk.data) <= 1 << 20
        data = b"".join(chunk.data for chunk in chunks)
        assert hashlib.sha256(data).hexdigest() == artifact.sha256
        self.stored[artifact.sha256] = data
        return artifact_service_pb2.PutArtifactResponse(artifact=artifact)

    def ReadArtifact(self, request, context):  # type: ignore[no-untyped-def]
        self.enter("ReadArtifact", context)
        if request.sha256 not in self.stored:
            refuse(context, grpc.StatusCode.NOT_FOUND, "no such artifact", "NOT_FOUND", "sha256")
        data, step = self.stored[request.sha256], self.faults.chunk_bytes
        if self.faults.wrong_artifact:
            data = bytes(len(data))
        for sent, start in enumerate(range(request.offset, max(len(data), 1), step)):
            if sent == 1 and self.faults.broken_reads > 0:
                self.faults.broken_reads -= 1
                refuse(context, grpc.StatusCode.UNAVAILABLE, "the connection broke")
            piece = data[start : start + step]
            wrong = self.faults.corrupt_chunks > 0 and sent == 1
            self.faults.corrupt_chunks -= wrong
            wrong |= start == self.faults.damaged_byte
            chunk = artifact_service_pb2.Chunk(
                data=piece, crc32c=google_crc32c.value(piece) ^ int(wrong)
            )
            yield artifact_service_pb2.ReadArtifactResponse(chunk=chunk, total_bytes=len(data))


class Analyses(Base, analysis_service_pb2_grpc.AnalysisServiceServicer):
    def Influence(self, request, context):  # type: ignore[no-untyped-def]
        self.enter("Influence", context)
        self.faults.asked.append(request)
        if request.WhichOneof("subject") != "each_intervention":
            check_layer(request.layer, context)
        metadata = analysis_service_pb2.AnalysisMetadata(influence=request)
        estimated(metadata)
        if request.dry_run:
            return operations_pb2.Operation(metadata=pack(metadata))
        return self._start(metadata, self._influence(request, context))

    def Magnitude(self, request, context):  # type: ignore[no-untyped-def]
        self.enter("Magnitude", context)
        self.faults.asked.append(request)
        for layer in request.layers:
            check_layer(layer, context)
        names = [LAYERS.get(name, name) for name in request.layers] or ["conv1", "conv2"]
        metadata = analysis_service_pb2.AnalysisMetadata(magnitude=request)
        metadata.magnitude.layers[:] = names
        estimated(metadata)
        if request.dry_run:
            return operations_pb2.Operation(metadata=pack(metadata))
        return self._start(metadata, self._magnitude(request, names))

    def Faithfulness(self, request, context):  # type: ignore[no-untyped-def]
        context.abort(grpc.StatusCode.UNIMPLEMENTED, "the fake measures no module's worth")

    Independence = Reach = Probe = Faithfulness

    def Modules(self, request, context):  # type: ignore[no-untyped-def]
        self.enter("Modules", context)
        self.faults.asked.append(request)
        maps = self.read(request.maps, context)
        self._check_products(request, [request.method], context)
        metadata = analysis_service_pb2.AnalysisMetadata(modules=request)
        metadata.progress.state = analysis_service_pb2.JOB_STATE_RUNNING
        return self._start(metadata, self._modules(request, maps))

    def Stability(self, request, context):  # type: ignore[no-untyped-def]
        self.enter("Stability", context)
        self.faults.asked.append(request)
        maps = self.read(request.maps, context)
        self._check_products(request, request.methods, context)
        metadata = analysis_service_pb2.AnalysisMetadata(stability=request)
        metadata.progress.state = analysis_service_pb2.JOB_STATE_RUNNING
        return self._start(metadata, self._stability(request, len(maps)))

    def _check_products(self, request: Any, methods: Any, context: Context) -> None:
        needing = {analysis_service_pb2.METHOD_PCA, analysis_service_pb2.METHOD_SPECTRAL}
        assert request.HasField("products") == bool(needing & set(methods))
        if request.HasField("products"):
            count = len(self.read(request.maps, context))
            assert self.read(request.products, context).shape == (count, count)

    def WatchOperation(self, request, context):  # type: ignore[no-untyped-def]
        self.enter("WatchOperation", context)
        if request.name not in self.operations:
            text = f"operation {request.name!r} is not known"
            refuse(context, grpc.StatusCode.NOT_FOUND, text, "NOT_FOUND", "name")
        final = self.operations[request.name]
        self.faults.watched.append(request)
        yield analysis_service_pb2.WatchOperationResponse(operation=running(final, self.faults))
        if request.HasField("partial_modules"):
            yield analysis_service_pb2.WatchOperationResponse(partial_modules=modules_so_far())
        if self.faults.broken_watches > 0:
            self.faults.broken_watches -= 1
            refuse(context, grpc.StatusCode.UNAVAILABLE, "the connection broke")
        progress = analysis_service_pb2.Progress(
            state=analysis_service_pb2.JOB_STATE_RUNNING,
            shards_done=1,
            shards_total=2,
            hybrids_per_second=100.0,
        )
        progress.eta.FromMilliseconds(1500)
        yield analysis_service_pb2.WatchOperationResponse(progress=progress)
        while not self.faults.go_on.wait(0.05) and context.is_active():
            pass
        yield analysis_service_pb2.WatchOperationResponse(operation=self.operations[request.name])

    def PartialResult(self, request, context):  # type: ignore[no-untyped-def]
        self.enter("PartialResult", context)
        if request.name not in self.operations:
            text = f"operation {request.name!r} is not known"
            refuse(context, grpc.StatusCode.NOT_FOUND, text, "NOT_FOUND", "name")
        operation = self.operations[request.name]
        message = analysis_service_pb2.PartialResultResponse(operation=operation)
        operation.response.Unpack(message.influence)
        message.operation.ClearField("response")
        return message

    def ShareOperation(self, request, context):  # type: ignore[no-untyped-def]
        self.enter("ShareOperation", context)
        if request.name not in self.operations:
            text = f"operation {request.name!r} is not known"
            refuse(context, grpc.StatusCode.NOT_FOUND, text, "NOT_FOUND", "name")
        operation = self.operations[request.name]
        metadata = analysis_service_pb2.AnalysisMetadata()
        operation.metadata.Unpack(metadata)
        metadata.owner, metadata.shared = "alice", not request.private
        operation.metadata.CopyFrom(pack(metadata))
        return operation

    def _start(
        self, metadata: analysis_service_pb2.AnalysisMetadata, response: Message
    ) -> operations_pb2.Operation:
        done = analysis_service_pb2.AnalysisMetadata()
        done.CopyFrom(metadata)
        done.progress.state = analysis_service_pb2.JOB_STATE_DONE
        done.progress.shards_done = done.progress.shards_total
        done.end_time.FromSeconds(1_700_000_060)
        ids = self.faults.ids
        operation = operations_pb2.Operation(
            name=f"operations/{ids.pop(0) if ids else len(self.operations) + 1}",
            metadata=pack(done),
            done=True,
        )
        if self.faults.job_error is None:
            operation.response.CopyFrom(pack(response))
        else:
            code, message, reason = self.faults.job_error
            operation.error.CopyFrom(status(code, message, reason, ""))
        self.operations[operation.name] = operation
        return operation if self.faults.answered_already else running(operation, self.faults)

    def _influence(
        self, request: analysis_service_pb2.InfluenceRequest, context: Context
    ) -> analysis_service_pb2.InfluenceResponse:
        if request.WhichOneof("subject") == "each_module":
            labels = self.read(request.each_module, context)
            names = sorted({int(label) for label in labels if label >= 0})
            sets = [np.flatnonzero(labels == name).tolist() for name in names]
        elif request.WhichOneof("subject") == "each_intervention":
            asked = request.each_intervention.interventions
            names, sets = list(range(len(asked))), [self.edited(each, context) for each in asked]
        else:
            names = list(request.each_channel.indices) or list(range(CHANNELS))
            sets = [[name] for name in names]
        first, second = self.pairs(request.pairs, context)
        stopping = stopped(request.until, len(first))
        if stopping and stopping.met:
            first, second = first[:STOP_PAIRS], second[:STOP_PAIRS]
        arrays = influence_arrays(first, second, names, sets, request.products)
        ran = execution(request.precision)
        is_corrected = ran.HasField("deviation") and not request.uncorrected
        if is_corrected:
            arrays |= corrections(arrays)
        return analysis_service_pb2.InfluenceResponse(
            **self._written(arrays),
            range_width=2.0,
            pairs=len(first),
            originals=request.pairs.originals.WhichOneof("source") or "encoded",
            stratified=request.pairs.stratified,
            layer=LAYERS.get(request.layer, request.layer),
            execution=ran,
            stopping=stopping,
            corrected_pairs=CORRECTED_PAIRS if is_corrected else 0,
        )

    def _modules(
        self, request: analysis_service_pb2.ModulesRequest, maps: Array
    ) -> analysis_service_pb2.ModulesResponse:
        arrays = modules_arrays(request, maps)
        return analysis_service_pb2.ModulesResponse(
            **self._written(arrays),
            seeds_agreeing=len(request.seeds),
            method=request.method,
            impure=int((arrays["purity"] < request.min_purity).sum()),
            confidence_unknown="" if request.HasField("group_maps") else NO_GROUPS,
        )

    def _stability(
        self, request: analysis_service_pb2.StabilityRequest, channels: int
    ) -> analysis_service_pb2.StabilityResponse:
        ks = list(request.ks) or [2, 3]
        return analysis_service_pb2.StabilityResponse(
            **self._written(stability_arrays(ks, len(request.methods), request.repeats)),
            methods=request.methods,
            suggested=suggested(ks, request.methods),
            channels=channels,
        )

    def _magnitude(
        self, request: analysis_service_pb2.MagnitudeRequest, names: list[str]
    ) -> analysis_service_pb2.MagnitudeResponse:
        return analysis_service_pb2.MagnitudeResponse(
            **self._written(magnitude_arrays(len(names), list(request.ks) or [2, 3, 4])),
            layers=names,
            by_share=lines(names, CHANNELS),
            by_channels=lines(names, 1),
            range_width=2.0,
            pairs=request.pairs.count,
            originals=request.pairs.originals.WhichOneof("source") or "encoded",
            method=request.method,
            execution=execution(),
        )

    def _written(self, arrays: Mapping[str, Array]) -> dict[str, Any]:
        return {name: self.write(array) for name, array in arrays.items()}


SURE_SO_FAR = 4
"""Of the channels, how many a watch tells to be sure of their modules."""


def modules_so_far() -> analysis_service_pb2.ModulesSoFar:
    """What a watch tells of three modules."""
    labels = np.arange(CHANNELS) % 3
    probabilities = np.full((CHANNELS, 3), 0.3)
    probabilities[:SURE_SO_FAR] = np.eye(3)[labels[:SURE_SO_FAR]]
    told = analysis_service_pb2.ModulesSoFar(pairs=1)
    layer = told.layers.add(layer="conv2")
    layer.modules.method = analysis_service_pb2.METHOD_NMF
    arrays = {
        "labels": labels,
        "templates": np.zeros((3, SIDE, SIDE)),
        "purity": np.ones(CHANNELS),
        "probabilities": probabilities,
    }
    for name, array in arrays.items():
        getattr(layer.modules, name).CopyFrom(codec.inline(array))
    return told


NO_GROUPS = "the maps came by themselves"
"""Why nobody knows how sure modules are."""

STOP_PAIRS = 3
"""Where a stopping rule ends a job, unless it is a relative standard error below 0.01."""


def stopped(
    until: analysis_service_pb2.StoppingRule, count: int
) -> analysis_service_pb2.Stopping | None:
    """What came of a rule."""
    if until.WhichOneof("rule") is None:
        return None
    labels = until.WhichOneof("rule") == "stable_labels"
    met = labels or until.relative_standard_error >= 0.01
    return analysis_service_pb2.Stopping(
        met=met,
        max_pairs=count,
        relative_standard_error=0.0125,
        label_agreement=1.0 if labels else float("nan"),
    )


def estimated(metadata: analysis_service_pb2.AnalysisMetadata) -> None:
    """Fill in what is known of work that makes hybrids."""
    metadata.model_digest, metadata.identity = DIGEST, "i" * 64
    metadata.progress.state = analysis_service_pb2.JOB_STATE_RUNNING
    metadata.progress.shards_done, metadata.progress.shards_total = 1, 2
    metadata.estimate.hybrids, metadata.estimate.result_bytes = 600, 4608
    metadata.estimate.duration.FromMilliseconds(12_500)
    metadata.create_time.FromSeconds(1_700_000_000)


def running(operation: operations_pb2.Operation, faults: Faults) -> operations_pb2.Operation:
    """The same operation before it was done."""
    metadata = analysis_service_pb2.AnalysisMetadata()
    operation.metadata.Unpack(metadata)
    metadata.progress.state = analysis_service_pb2.JOB_STATE_RUNNING
    metadata.progress.shards_done = faults.shards_kept
    return operations_pb2.Operation(name=operation.name, metadata=pack(metadata))


class Operations(Base, operations_pb2_grpc.OperationsServicer):
    def _find(self, name: str, context: Context) -> operations_pb2.Operation:
        if name not in self.operations:
            text = f"operation {name!r} is not known"
            refuse(context, grpc.StatusCode.NOT_FOUND, text, "NOT_FOUND", "name")
        found = self.operations[name]
        return found if self.faults.go_on.is_set() else running(found, self.faults)

    def ListOperations(self, request, context):  # type: ignore[no-untyped-def]
        self.enter("ListOperations", context)
        start = int(request.page_token or 0)
        end = start + self.faults.page_size
        names = list(self.operations)
        return operations_pb2.ListOperationsResponse(
            operations=[self.operations[name] for name in names[start:end]],
            next_page_token=str(end) if end < len(names) else "",
        )

    def GetOperation(self, request, context):  # type: ignore[no-untyped-def]
        self.enter("GetOperation", context)
        return self._find(request.name, context)

    def DeleteOperation(self, request, context):  # type: ignore[no-untyped-def]
        self.enter("DeleteOperation", context)
        self._find(request.name, context)
        del self.operations[request.name]
        return empty_pb2.Empty()

    def CancelOperation(self, request, context):  # type: ignore[no-untyped-def]
        self.enter("CancelOperation", context)
        operation = self._find(request.name, context)
        metadata = analysis_service_pb2.AnalysisMetadata()
        operation.metadata.Unpack(metadata)
        metadata.progress.state = analysis_service_pb2.JOB_STATE_CANCELLED
        operation.metadata.CopyFrom(pack(metadata))
        code = grpc.StatusCode.CANCELLED
        operation.error.CopyFrom(status(code, "the job was cancelled", "CANCELLED", ""))
        return empty_pb2.Empty()

    def WaitOperation(self, request, context):  # type: ignore[no-untyped-def]
        self.enter("WaitOperation", context)
        return self._find(request.name, context)


@contextmanager
def fake_server(faults: Faults | None = None, port: int = 0) -> Iterator[tuple[str, Faults]]:
    """Run the fake on loopback; gives its address and its faults."""
    faults = faults or Faults()
    state: tuple[Faults, dict[str, bytes], dict[str, operations_pb2.Operation]]
    state = (faults, {}, {})
    server = grpc.server(futures.ThreadPoolExecutor(8))
    model_service_pb2_grpc.add_ModelServiceServicer_to_server(Models(*state), server)
    artifact_service_pb2_grpc.add_ArtifactServiceServicer_to_server(Artifacts(*state), server)
    analysis_service_pb2_grpc.add_AnalysisServiceServicer_to_server(Analyses(*state), server)
    operations_pb2_grpc.add_OperationsServicer_to_server(Operations(*state), server)
    bound = server.add_insecure_port(f"127.0.0.1:{port}")
    server.start()
    try:
        yield f"127.0.0.1:{bound}", faults
    finally:
        faults.go_on.set()
        server.stop(None).wait()
