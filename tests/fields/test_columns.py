"""One form for each value, and messages for values of another kind."""

import numpy as np
import pyarrow as pa
import pytest

from ceiba.base.errors import DataError
from ceiba.fields import as_labels, as_numbers


def test_numbers_are_read_from_text_booleans_and_decimals() -> None:
    found = as_numbers(pa.array(["1", " +2.5 ", "-1e3", "", "nan", None, "True", ".5"]))
    np.testing.assert_array_equal(found, np.array([1, 2.5, -1000, np.nan, np.nan, np.nan, 1, 0.5], np.float32))
    assert as_numbers(pa.array([True, None, False])).tolist()[::2] == [1.0, 0.0]
    assert as_numbers(pa.array([2**63 + 1024], pa.uint64())).tolist() == [2.0**63]
    assert as_numbers(pa.chunked_array([[1], [2]])).tolist() == [1.0, 2.0]
    assert as_numbers(pa.nulls(2)).shape == (2,)
    assert as_numbers(pa.array([], pa.string())).shape == (0,)


@pytest.mark.parametrize(
    ("column", "told"),
    [
        (["1", "n/a"], "must be a number. Got 'n/a' in row 12. Add 'n/a' to data.missing."),
        (["1", "1,5"], "must be a number. Got '1,5' in row 12. Add '1,5' to data.missing."),
        (["1e400"], "must be a finite number below 3.4e38. Got '1e400' in row 11. Add '1e400' to data.missing."),
        ([1.0, -np.inf], "must be a finite number below 3.4e38. Got '-inf' in row 12. Add '-inf' to data.missing."),
        ([1e39], "must be a finite number below 3.4e38. Got '1e+39' in row 11. Add '1e+39' to data.missing."),
        (["a\nb" + "c" * 90], "must be a number. Got 'a�b" + "c" * 36 + "…' in row 11."),
        ([[1]], "must hold numbers. Got the Arrow type list<"),
    ],
)
def test_a_value_that_is_no_number_is_named_with_its_row(column: list[object], told: str) -> None:
    with pytest.raises(DataError) as error:
        as_numbers(pa.array(column), start=10)
    assert str(error.value).startswith(told)


def test_labels_are_trimmed_whole_numbers_lose_their_fraction_and_truth_is_lower_case() -> None:
    given = ["39.0", " 39", "39.", "TRUE", "false", "1.10", "007", "  ", "NaN", "Nan", None, "a b"]
    assert as_labels(pa.array(given)).to_pylist() == [
        "39", "39", "39", "true", "false", "1.10", "007", None, None, "Nan", None, "a b",
    ]  # fmt: skip
    assert as_labels(pa.array([1e18, -0.5, 2.0**70, np.nan])).to_pylist()[:2] == ["1000000000000000000", "-0.5"]
    with pytest.raises(DataError, match="must hold single values"):
        as_labels(pa.array([[1]]))
    with pytest.raises(DataError, match="must hold text"):
        as_labels(pa.array([b"\xff\xfe"]))
