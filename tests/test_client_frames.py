"""Facts about results as tables of pandas, which only the developers' extra brings."""

import sys
from dataclasses import replace

import numpy as np
import pytest

from graftscope.client import LayersResult
from graftscope.client.errors import MissingExtraError
from test_client_saved import (
    FOUND,
    INFLUENCE,
    MAGNITUDE,
    MODULES,
    OF_INTERVENTIONS,
    STABILITY,
)


def test_without_pandas_a_table_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(MissingExtraError, match=r"with: pip install 'graftscope\[notebook\]'"):
        INFLUENCE.to_pandas()


def test_the_columns_are_arrays_of_one_length_without_pandas() -> None:
    for result in (INFLUENCE, OF_INTERVENTIONS, MODULES, STABILITY, MAGNITUDE, FOUND):
        lengths = {array.shape for array in result.columns().values()}
        assert len(lengths) == 1, type(result)


def test_a_row_of_stabilitys_table_is_one_repeat_of_one_method_and_number() -> None:
    columns = STABILITY.columns()
    rows = list(zip(*columns.values(), strict=True))
    assert list(columns) == ["method", "k", "repeat", "consistency", "cosine", "chance"]
    at = rows.index(next(row for row in rows if row[:3] == ("spectral", 3, 1)))
    assert rows[at][3:] == (1.0, STABILITY.cosine[1, 1, 1], 0.25)
    assert len(rows) == 8


def test_interventions_stand_in_words_and_modules_as_modules() -> None:
    told = OF_INTERVENTIONS.columns()
    assert "channel" in replace(INFLUENCE, subject="").columns()
    assert "module" in replace(INFLUENCE, subject="modules").columns()
    named = replace(OF_INTERVENTIONS, subject="interventions").columns()
    assert named["intervention"].tolist() == list(map(str, OF_INTERVENTIONS.interventions))
    assert told["channel"].tolist() == named["intervention"].tolist()


def test_tables_hold_what_results_hold() -> None:
    pandas = pytest.importorskip("pandas", reason="pandas is optional, and not installed here")
    both = LayersResult({"a": INFLUENCE, "b": replace(INFLUENCE, layer="conv2")}, "operations/1")
    table = both.to_pandas()
    assert isinstance(table, pandas.DataFrame)
    assert list(table.columns) == [
        "layer",
        "channel",
        "individual",
        "individual_stderr",
        "individual_share",
    ]
    assert table["layer"].tolist() == ["conv1"] * 4 + ["conv2"] * 4
    assert table.attrs["model"] == "toy@0123456789ab"
    second = table[table["layer"] == "conv2"]
    np.testing.assert_array_equal(second["individual"], INFLUENCE.individual)
    np.testing.assert_array_equal(second["individual_share"], INFLUENCE.individual / 2)
    modules = MODULES.to_pandas()
    assert modules.groupby("module")["channel"].count().to_dict() == {-1: 1, 0: 1, 1: 2}
    np.testing.assert_array_equal(modules[["weight_0", "weight_1"]], MODULES.weights)
    settled = STABILITY.to_pandas().groupby(["method", "k"])["consistency"].mean()
    expected = STABILITY.consistency_mean
    assert settled["nmf", 2] == pytest.approx(expected[0, 0])
    assert settled["spectral", 2] == pytest.approx(expected[1, 0])  # of the one that settled
    magnitude = MAGNITUDE.to_pandas()
    np.testing.assert_array_equal(magnitude["individual_share"], MAGNITUDE.individual / 2)
    assert magnitude["layer"].tolist() == MAGNITUDE.layer.tolist()
    found = FOUND.to_pandas()
    assert found.loc[found["found"], "channel"].tolist() == sorted(FOUND.channels)
