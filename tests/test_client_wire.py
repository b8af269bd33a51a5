"""Facts about arrays on the wire: bytes, places, chunks."""

import hashlib

import google_crc32c
import numpy as np
import pytest

from graftscope.client.errors import IntegrityError, ReplyError
from graftscope.client.wire import Assembly, Outbox, Packed, unpack, upload_requests
from graftscope.codec import ARRAY_DATATYPES, CodecError
from graftscope.v1 import artifact_service_pb2, tensor_pb2

MIB = 1 << 20


@pytest.mark.parametrize("datatype", ARRAY_DATATYPES)
@pytest.mark.parametrize("shape", [(), (0,), (3,), (2, 0, 4), (2, 3, 4)])
def test_an_array_comes_back_as_it_was_sent(datatype: str, shape: tuple[int, ...]) -> None:
    dtype = ARRAY_DATATYPES[datatype].newbyteorder("=")
    array = np.random.default_rng(0).integers(0, 2, shape).astype(dtype)
    tensor = Outbox().add(array).tensor
    back = unpack(tensor.data, tensor.datatype, tensor.shape)
    assert (tensor.datatype, tuple(tensor.shape)) == (datatype, shape)
    assert back.dtype == dtype
    np.testing.assert_array_equal(back, array)


def test_elements_travel_little_endian_in_c_order() -> None:
    array = np.array([[1, 2], [3, 4]], dtype=">i4").T
    assert Outbox().add(array).tensor.data == np.array([1, 3, 2, 4], dtype="<i4").tobytes()


def test_an_array_that_was_read_can_be_changed() -> None:
    back = unpack(bytes(12), "FP32", (3,))
    back[0] = 1
    assert back[0] == 1


def test_an_element_type_that_the_contract_lacks_is_refused_by_name() -> None:
    with pytest.raises(CodecError, match=r"complex64 cannot be sent; allowed: bool, uint8, int32"):
        Packed(np.zeros(2, np.complex64))


def test_bytes_that_do_not_fill_the_shape_are_refused() -> None:
    with pytest.raises(ReplyError, match=r"7 bytes for FP32 of shape \(2,\), which needs 8"):
        unpack(bytes(7), "FP32", (2,))
    with pytest.raises(ReplyError, match="datatype 'FP8'"):
        unpack(bytes(1), "FP8", (1,))
    with pytest.raises(ReplyError, match="datatype 'FP8'"):
        Assembly(tensor_pb2.Artifact(datatype="FP8"))


def test_small_arrays_go_into_the_request_and_large_ones_ahead_of_it() -> None:
    outbox = Outbox()
    small, large = np.zeros(10), np.zeros(MIB)
    assert outbox.add(small).WhichOneof("source") == "tensor"
    placed = outbox.add(large)
    assert placed.artifact.sha256 == hashlib.sha256(large.tobytes()).hexdigest()
    assert [each.sha256 for each in outbox.large] == [placed.artifact.sha256]


def test_all_inline_arrays_of_a_request_together_stay_under_the_limit() -> None:
    outbox = Outbox()
    places = [outbox.add(np.full(600_000, i, np.uint8)).WhichOneof("source") for i in range(3)]
    assert places == ["tensor", "artifact", "artifact"]


def test_an_upload_is_its_descriptor_and_then_checked_chunks_in_order() -> None:
    array = np.random.default_rng(1).integers(0, 256, 2 * MIB + 5).astype(np.uint8)
    first, *chunks = list(upload_requests(Packed(array)))
    assert first.artifact.shape == [array.size]
    assert [len(each.chunk.data) for each in chunks] == [MIB, MIB, 5]
    assert all(google_crc32c.value(each.chunk.data) == each.chunk.crc32c for each in chunks)
    assert b"".join(each.chunk.data for each in chunks) == array.tobytes()


def reply(data: bytes, *, crc32c: int | None = None) -> artifact_service_pb2.ReadArtifactResponse:
    checksum = google_crc32c.value(data) if crc32c is None else crc32c
    return artifact_service_pb2.ReadArtifactResponse(
        chunk=artifact_service_pb2.Chunk(data=data, crc32c=checksum), total_bytes=8
    )


def artifact_of(array: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]) -> tensor_pb2.Artifact:
    return Packed(array).to_artifact().artifact


def test_an_artifact_is_put_together_from_its_chunks() -> None:
    array = np.arange(8, dtype=np.uint8)
    assembly = Assembly(artifact_of(array))
    assembly.add(reply(array[:5].tobytes()))
    assert (assembly.received, assembly.complete) == (5, False)
    assembly.add(reply(array[5:].tobytes()))
    assert assembly.complete
    np.testing.assert_array_equal(assembly.array(), array)


def test_a_chunk_that_does_not_match_its_checksum_is_not_taken() -> None:
    assembly = Assembly(artifact_of(np.arange(8, dtype=np.uint8)))
    with pytest.raises(IntegrityError, match="at byte 0 does not match its CRC-32C"):
        assembly.add(reply(bytes(3), crc32c=1))
    assert assembly.received == 0


def test_bytes_beyond_the_artifacts_end_are_refused() -> None:
    assembly = Assembly(artifact_of(np.arange(8, dtype=np.uint8)))
    with pytest.raises(ReplyError, match="longer than its 8 bytes"):
        assembly.add(reply(bytes(9)))


def test_other_bytes_of_the_right_length_are_found_out_by_the_sha256() -> None:
    assembly = Assembly(artifact_of(np.arange(8, dtype=np.uint8)))
    assembly.add(reply(bytes(8)))
    with pytest.raises(IntegrityError, match="do not match its sha256"):
        assembly.array()
