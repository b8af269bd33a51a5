"""The codec: what goes through a message comes back, and nothing is dropped in silence."""

from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

import numpy as np
import pytest
from google.protobuf.descriptor import EnumDescriptor

from graftscope import codec
from graftscope.v1 import (
    analysis_service_pb2 as analysis,
)
from graftscope.v1 import (
    bundle_pb2,
    intervention_pb2,
    model_service_pb2,
    originals_pb2,
    precision_pb2,
    tensor_pb2,
)

ENUMS = [
    analysis.Method.DESCRIPTOR,
    analysis.JobState.DESCRIPTOR,
    bundle_pb2.LayerKind.DESCRIPTOR,
    model_service_pb2.ImageEncoding.DESCRIPTOR,
    precision_pb2.Precision.DESCRIPTOR,
]


class Way(StrEnum):
    NMF = "nmf"
    KMEANS = "kmeans"


@dataclass(frozen=True)
class Labels:
    k: int = 3
    method: Way = Way.NMF
    seed: int = 0
    window: int = 3
    percentile: float = 75.0


@dataclass(frozen=True)
class Share:
    value: float


@dataclass(frozen=True)
class Rule:
    rule: Share | Labels | None = None


@dataclass(frozen=True)
class Stored:
    latents: dict[str, np.ndarray]


@dataclass(frozen=True)
class Picture:
    image: np.ndarray


@dataclass(frozen=True)
class Second: ...


@dataclass(frozen=True)
class Take:
    donor: Second | Stored | Picture | None = None


@dataclass(frozen=True)
class Mixed:
    weight: float
    donor: Second | Stored | Picture


@dataclass(frozen=True)
class Which:
    channels: tuple[int, ...] | None = None
    layer: str = ""


@dataclass(frozen=True)
class Times:
    create_time: datetime | None
    end_time: float | None
    identity: str = ""


UNIONS: codec.Unions = {
    "StoppingRule.rule": {"relative_standard_error": Share, "stable_labels": Labels},
    "Swap.donor": {"original2": Second, "latents": Stored, "image": Picture},
}


def put(array: np.ndarray) -> tensor_pb2.Array:
    return tensor_pb2.Array(tensor=codec.tensor(array))


def get(array: tensor_pb2.Array, path: str, wanted: object) -> np.ndarray:
    held = array.tensor
    return codec.decode(held.data, held.datatype, held.shape)


@pytest.mark.parametrize("kind", ENUMS, ids=lambda kind: str(kind.name))
def test_every_word_comes_back_from_its_number(kind: EnumDescriptor) -> None:
    words = codec.words_of(kind)
    assert set(words.values()) | {0} == {value.number for value in kind.values}
    for word, number in words.items():
        assert codec.number_of(kind, word) == number
        assert codec.word_of(kind, number) == word
    assert codec.word_of(kind, 0, "nothing") == "nothing"


def test_words_of_another_version_are_refused_with_those_there_are() -> None:
    with pytest.raises(codec.UnknownWordError, match="method 'ica' is unknown; there are: nmf, "):
        codec.number_of(analysis.Method.DESCRIPTOR, "ica")
    with pytest.raises(codec.UnknownNumberError, match="job state number 77 is unknown"):
        codec.word_of(analysis.JobState.DESCRIPTOR, 77)


@pytest.mark.parametrize("rule", [None, Share(0.02), Labels(), Labels(4, Way.KMEANS, 1, 5, 50.0)])
def test_a_oneof_is_one_value_under_its_own_name(rule: Share | Labels | None) -> None:
    message = analysis.StoppingRule()
    codec.fill(message, Rule(rule), put, unions=UNIONS)
    assert codec.made(message, Rule, get, unions=UNIONS) == Rule(rule)


def test_a_member_is_told_by_its_type() -> None:
    latents = {"z": np.arange(3.0, dtype=np.float32)[None]}
    for donor in (Second(), Stored(latents), Picture(np.zeros((1, 2, 2, 3), np.uint8))):
        message = intervention_pb2.Swap()
        codec.fill(message, Take(donor), put, unions=UNIONS)
        back = codec.made(message, Take, get, unions=UNIONS)
        assert type(back.donor) is type(donor)
    assert message.WhichOneof("donor") == "image"
    codec.fill(message, Take(Stored(latents)), put, unions=UNIONS)
    back = codec.made(message, Take, get, unions=UNIONS)
    assert isinstance(back.donor, Stored)
    np.testing.assert_array_equal(back.donor.latents["z"], latents["z"])


def test_a_message_that_is_one_oneof_is_that_oneofs_value() -> None:
    message = intervention_pb2.Blend()
    codec.fill(message, Mixed(0.5, Second()), put, unions=UNIONS)
    assert message.donor.WhichOneof("donor") == "original2"
    assert codec.made(message, Mixed, get, unions=UNIONS) == Mixed(0.5, Second())


def test_a_message_of_one_field_is_that_fields_value() -> None:
    message = intervention_pb2.Edit()
    codec.fill(message, Which((1, 5), "fine"), put)
    assert list(message.channels.indices) == [1, 5]
    assert codec.made(message, Which, get) == Which((1, 5), "fine")
    nothing = intervention_pb2.Edit()
    codec.fill(nothing, Which((), "fine"), put)
    assert nothing.HasField("channels")
    assert codec.made(nothing, Which, get) == Which((), "fine")
    assert codec.made(intervention_pb2.Edit(), Which, get) == Which(None, "")


def test_times_are_datetimes_or_seconds() -> None:
    moment = datetime(2024, 5, 6, 12, 30, 0, 250_000, UTC)
    message = analysis.AnalysisMetadata()
    codec.fill(message, Times(moment, moment.timestamp(), "ab"), put)
    assert codec.made(message, Times, get) == Times(moment, moment.timestamp(), "ab")
    assert codec.made(analysis.AnalysisMetadata(), Times, get) == Times(None, None, "")
    progress = analysis.Progress()
    codec.fill(progress, {"eta": 1.5}, put)
    assert progress.eta.ToMilliseconds() == 1500


def test_mappings_fill_messages_as_dataclasses_do() -> None:
    message = analysis.StabilityResponse()
    scalars = {"methods": ["nmf", "kmeans"], "suggested": [{"method": "kmeans", "rivals": [2]}]}
    codec.fill(message, scalars, put)
    assert list(message.methods) == [analysis.METHOD_NMF, analysis.METHOD_KMEANS]
    assert message.suggested[0].method == analysis.METHOD_KMEANS
    assert list(message.suggested[0].rivals) == [2]


def test_what_does_not_fit_is_refused_by_name() -> None:
    for value in (-1, 1 << 32, "one", 1.5):
        with pytest.raises(codec.CodecError, match=r"seed .* is not allowed") as refused:
            codec.fill(originals_pb2.Pairs(), {"seed": value}, put)
        assert refused.value.field == "seed"


def test_a_field_that_is_mapped_nowhere_is_an_error_of_the_writer() -> None:
    with pytest.raises(TypeError, match="Pairs has no field 'colour'"):
        codec.fill(originals_pb2.Pairs(), {"colour": 1}, put)
    codec.fill(originals_pb2.Pairs(), {"colour": 1}, put, leave=("colour",))
    with pytest.raises(TypeError, match="says nothing of 'value' of Share"):
        codec.made(originals_pb2.Pairs(), Share, get)
    assert codec.unmapped(analysis.StoppingRule.DESCRIPTOR, Rule) == {"together"}
    assert codec.unmapped(analysis.StableLabels.DESCRIPTOR, Share) == {
        "k",
        "method",
        "seed",
        "window",
        "percentile",
    }


@pytest.mark.parametrize(
    "dtype", [each.str for each in codec.ARRAY_DATATYPES.values()] + [">f4", ">i8"]
)
def test_arrays_come_back_from_their_bytes(dtype: str) -> None:
    array = (
        np.arange(6).astype(dtype).reshape(2, 3).T
    )  # neither in C order nor always little-endian
    datatype, data = codec.encode(array)
    np.testing.assert_array_equal(codec.decode(data, datatype, array.shape), array)
    assert codec.size_bytes(datatype, array.shape) == len(data)


def test_bytes_that_do_not_add_up_are_refused() -> None:
    with pytest.raises(codec.CodecError, match="7 bytes for FP32 of shape"):
        codec.decode(b"1234567", "FP32", (2,))
    with pytest.raises(codec.CodecError, match="datatype 'FP8' is unknown; allowed: BOOL, "):
        codec.decode(b"", "FP8", (0,))
    with pytest.raises(codec.CodecError, match="arrays of complex128 cannot be sent"):
        codec.encode(np.zeros(2, complex))


def test_files_come_back_one_by_one() -> None:
    files = [b"", b"abc", b"\0" * 70]
    assert codec.decode_files(codec.encode_files(files), (3,)) == files
    for data, shape in ((b"\x05\0\0\0abc", (1,)), (codec.encode_files(files), (2,)), (b"\0", (0,))):
        with pytest.raises(codec.CodecError, match="do not add up"):
            codec.decode_files(data, shape)


@pytest.mark.parametrize("datatype", codec.ARRAY_DATATYPES)
@pytest.mark.parametrize("shape", [(), (0, 3), (1,), (2, 3, 4), (300, 70)])
def test_an_array_packed_beside_a_message_is_read_as_one_that_was_put_into_it(
    datatype: str, shape: tuple[int, ...]
) -> None:
    numbers = np.random.default_rng(0).integers(0, 2, (3, *shape))
    first, second, last = map(np.asarray, numbers.astype(codec.ARRAY_DATATYPES[datatype]))
    filled = model_service_pb2.HybridizeResponse(distinct_images=7)
    codec.fill_tensor(filled.original1.tensor, last)
    beside = model_service_pb2.HybridizeResponse()
    beside.CopyFrom(filled)

    data = codec.packed(beside, {"hybrid": first, "original2": np.array(second, order="F")})

    codec.fill_tensor(filled.hybrid.tensor, first)
    codec.fill_tensor(filled.original2.tensor, second)
    assert model_service_pb2.HybridizeResponse.FromString(data) == filled
