"""The contract's messages to and from plain values, for both sides: one table, one mapping.

::

    fill(request, task, put)                     # a dataclass into a message, by field names
    made(response, InfluenceResult, get, ...)    # and a message into a dataclass
    number_of(Method.DESCRIPTOR, "nmf")          # an enumeration's word to its number, and back
    encode(array), decode(data, datatype, shape) # an array to its bytes, and back

It knows numpy, protobuf and the contract; it must not know clients, servers or how calls are made.
"""

from graftscope.codec._agreement import agreement_lines
from graftscope.codec._arrays import (
    ARRAY_DATATYPES,
    CHUNK_BYTES,
    DATATYPES,
    FILES,
    INLINE_LIMIT_BYTES,
    artifact,
    datatype_of,
    decode,
    decode_files,
    encode,
    encode_files,
    field_head,
    fill_tensor,
    inline,
    packed,
    size_bytes,
    tensor,
)
from graftscope.codec._errors import CodecError, UnknownNumberError, UnknownWordError
from graftscope.codec._inputs import deviation, in_range, one_hot
from graftscope.codec._kinds import message_class
from graftscope.codec._messages import Get, Put, Unions, fill, made, unmapped
from graftscope.codec._words import number_of, word_of, words_of

__all__ = [
    "ARRAY_DATATYPES",
    "CHUNK_BYTES",
    "DATATYPES",
    "FILES",
    "INLINE_LIMIT_BYTES",
    "CodecError",
    "Get",
    "Put",
    "Unions",
    "UnknownNumberError",
    "UnknownWordError",
    "agreement_lines",
    "artifact",
    "datatype_of",
    "decode",
    "decode_files",
    "deviation",
    "encode",
    "encode_files",
    "field_head",
    "fill",
    "fill_tensor",
    "in_range",
    "inline",
    "made",
    "message_class",
    "number_of",
    "one_hot",
    "packed",
    "size_bytes",
    "tensor",
    "unmapped",
    "word_of",
    "words_of",
]
