"""Random words: their golden values, what they depend on, and how they become numbers."""

import numpy as np
import numpy.typing as npt
import pytest

from graftscope.server.analysis import InvalidInputError
from graftscope.server.analysis._random_words import (
    MAX_SEED,
    bounded_integers,
    open_uniforms,
    raw_words,
    stream_key,
)

WORD = 2**64


def philox_4x64_10(counter: list[int], key: list[int]) -> list[int]:
    """The published block cipher in plain integers, independent of numpy."""
    c, (k0, k1) = list(counter), key
    for _ in range(10):
        high0, low0 = divmod(0xD2E7470EE14C6C93 * c[0], WORD)
        high1, low1 = divmod(0xCA5A826395121157 * c[2], WORD)
        c = [high1 ^ c[1] ^ k0, low1, high0 ^ c[3] ^ k1, low0]
        k0, k1 = (k0 + 0x9E3779B97F4A7C15) % WORD, (k1 + 0xBB67AE8584CAA73B) % WORD
    return c


def words_of(values: list[int]) -> npt.NDArray[np.uint64]:
    return np.array(values, dtype=np.uint64)


def test_the_reference_cipher_gives_the_published_block() -> None:
    assert philox_4x64_10([0, 0, 0, 0], [0, 0]) == [
        0x16554D9ECA36314C,
        0xDB20FE9D672D0FDC,
        0xD7E772CEE186176B,
        0x7E68B68AEC7BA23B,
    ]


def test_words_are_the_ciphers_blocks_with_the_pair_in_the_counter() -> None:
    key, pair = [0x0123456789ABCDEF, 0xFEDCBA9876543210], 2**40 + 5
    # numpy advances the counter before its first block.
    expected = philox_4x64_10([1, pair, 0, 0], key) + philox_4x64_10([2, pair, 0, 0], key)
    words = raw_words(words_of(key), range(pair, pair + 1), 7)
    assert words.tolist() == [expected[:7]]


def test_keys_and_words_have_their_golden_values() -> None:
    key = stream_key("graftscope/latents/1", 7, 1, "z")
    assert key.tolist() == [0x25833FC77997875E, 0x4BB608C24549C473]
    assert raw_words(key, range(3, 4), 5).tolist() == [
        [
            0x487516320532D7EE,
            0x3471C2FC073C6F85,
            0xA0D52794BA6090C2,
            0x4D9BBC7304ACBCA0,
            0xD7EEA71012FB2388,
        ]
    ]


def test_every_part_of_a_streams_name_changes_its_key() -> None:
    keys = {
        tuple(stream_key(*parts).tolist())
        for parts in (
            ("a", 7, 1, "z"),
            ("b", 7, 1, "z"),
            ("a", 8, 1, "z"),
            ("a", 7, 2, "z"),
            ("a", 7, 1, "y"),
        )
    }
    assert len(keys) == 5


def test_fewer_words_of_a_pair_are_the_first_of_more() -> None:
    key = stream_key("a", 0, 1, "z")
    assert np.array_equal(raw_words(key, range(4), 3), raw_words(key, range(4), 50)[:, :3])


def test_uniforms_of_the_extreme_words_stay_inside_the_open_interval() -> None:
    low, high = open_uniforms(words_of([0, WORD - 1])).tolist()
    assert 0.0 < low == 2.0**-53
    assert high == 1.0 - 2.0**-53 < 1.0


def test_bounded_integers_are_the_high_half_of_the_exact_product() -> None:
    words = [0, 1, 2**32 - 1, 2**32, 0x9E3779B97F4A7C15, WORD - 1]
    for bound in (1, 2, 10, 19_000, 2**32 - 1):
        exact = [word * bound // WORD for word in words]
        assert bounded_integers(words_of(words), bound).tolist() == exact


@pytest.mark.parametrize("seed", [-1, MAX_SEED + 1])
def test_a_seed_out_of_range_is_refused_with_the_range(seed: int) -> None:
    with pytest.raises(InvalidInputError, match=f"seed = {seed} is not allowed; it is 0 to"):
        stream_key("a", seed, 1, "z")


def test_an_original_that_is_neither_1_nor_2_is_refused() -> None:
    with pytest.raises(InvalidInputError, match="which = 3 is not allowed; it is 1 to 2"):
        stream_key("a", 0, 3, "z")  # type: ignore[arg-type]


def test_a_negative_pair_is_refused() -> None:
    with pytest.raises(InvalidInputError, match="pair -2 is not allowed; pairs count from 0"):
        raw_words(words_of([0, 0]), np.array([3, -2]), 1)


def test_pairs_that_are_not_integers_are_refused() -> None:
    pairs = np.array([0.0, 1.0])
    with pytest.raises(InvalidInputError, match=r"type float64; it needs \(B,\) integers"):
        raw_words(words_of([0, 0]), pairs, 1)
