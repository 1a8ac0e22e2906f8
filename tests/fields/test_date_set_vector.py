"""Dates, sets of labels, vectors."""

import datetime

import numpy as np
import pyarrow as pa
import pytest

from ceiba.base.errors import DataError, RecipeError
from ceiba.fields import DateSpec, Field, SetSpec, VectorSpec
from ceiba.fields.date import CYCLES, cycle_steps
from ceiba.fields.instants import FORMATS, as_instants


def numbers(field: Field, column: pa.Array) -> np.ndarray:
    return field.encode(column)["numbers"]


def test_calendar_steps_are_those_of_the_calendar() -> None:
    times = [
        datetime.datetime(year, month, day, 23, 59, 59)
        for year in (1600, 1899, 1970, 2000, 2023, 2024, 2999)
        for month, day in ((1, 1), (2, 28), (12, 31), (7, 4))
    ]
    instants = np.array(times, "M8[us]")
    expected = {
        "month": [at.month - 1 for at in times],
        "monthday": [at.day - 1 for at in times],
        "weekday": [at.weekday() for at in times],
        "yearday": [at.timetuple().tm_yday - 1 for at in times],
        "daytime": [at.hour * 60 + at.minute for at in times],
    }
    assert set(expected) == set(CYCLES)
    for cycle, steps in expected.items():
        assert cycle_steps(instants, cycle).tolist() == steps


def test_the_ends_of_a_cycle_are_neighbors() -> None:
    field = DateSpec(parts=("month",)).fit([pa.array([datetime.date(2020, month, 1) for month in range(1, 13)])])
    circle = numbers(field, pa.array([datetime.date(2021, month, 9) for month in range(1, 13)]))
    steps = np.linalg.norm(circle - np.roll(circle, 1, axis=0), axis=1)
    np.testing.assert_allclose(steps, steps[0], rtol=1e-5)
    assert field.number_parts() == (" month sine", " month cosine")


def test_only_parts_that_vary_are_kept() -> None:
    field = DateSpec().fit([pa.array(["2024-03-01", "2025-03-01"])])
    assert field.parts == ("elapsed", "weekday", "yearday")  # 2024 is a leap year


@pytest.mark.parametrize("format", FORMATS[1:])
def test_the_format_of_text_is_found_in_training(format: str) -> None:
    days = [datetime.datetime(2020, 1, 31, 13, 5, 9), datetime.datetime(1999, 12, 25, 0, 0, 0)]
    column = pa.array([day.strftime(format) for day in days])
    field = DateSpec().fit([column[:1], column[1:]])
    assert field.format == format
    instants, wrong = as_instants(column, field.format, None, None)
    assert not wrong.any()
    again = [at.strftime(format) for at in instants.astype("M8[us]").tolist()]
    assert again == column.to_pylist()


def test_dates_that_can_be_read_in_two_ways_are_refused() -> None:
    with pytest.raises(DataError) as told:
        DateSpec().fit([pa.array(["01/02/2024", "03/04/2024", "02/01/2024"])])
    assert str(told.value) == (
        "must have dates that can be read in one way. Got both %m/%d/%Y and %d/%m/%Y. Set its format to one of them."
    )
    assert DateSpec().fit([pa.array(["02/02/2024"])]).format == "%m/%d/%Y"
    assert DateSpec(format="%d/%m/%Y").fit([pa.array(["01/02/2024"])]).format == "%d/%m/%Y"


@pytest.mark.parametrize("text", ["2024-02-30", "31/04/2024", "tomorrow", "2024-01-01T25:00:00", "12:30"])
def test_what_is_no_date_is_named_with_its_row(text: str) -> None:
    with pytest.raises(DataError, match=f"Got '{text}' in row 3"):
        DateSpec().fit([pa.array(["2024-01-01", None]), pa.array([text])])
    field = DateSpec().fit([pa.array(["2024-01-01"])])
    with pytest.raises(DataError, match=f"Got '{text}'. Add '{text}' to data.missing"):
        field.encode(pa.array([text]))


def test_a_day_that_no_calendar_has_is_no_date() -> None:
    field = DateSpec(format="%d/%m/%Y").fit([pa.array(["30/04/2024", "29/02/2024"])])
    for text in ("31/04/2024", "29/02/2023", "00/01/2024", "01/13/2024", "1/1/24"):
        with pytest.raises(DataError, match=f"Got '{text}'"):
            field.encode(pa.array([text]))


def test_a_missing_date_is_zero_in_every_part_and_marked() -> None:
    field = DateSpec().fit([pa.array(["2024-01-01 10:00", "2024-02-03", None])])
    assert numbers(field, pa.array([None, ""], pa.string())).tolist() == [[0.0] * 9 + [1.0]] * 2
    assert field.number_parts()[-1] == " is missing"
    assert DateSpec(indicator=False).fit([pa.array(["2024-01-01", None])]).number_parts() == (" elapsed",)


def test_numbers_are_dates_with_a_unit_or_as_written() -> None:
    field = DateSpec(unit="s").fit([pa.array([0, 86_400, None])])
    same = [pa.array([43_200.0]), pa.array(["43200"]), pa.array(["1970-01-01T12:00:00"]).cast(pa.timestamp("us"))]
    assert len({numbers(field, column).tobytes() for column in same}) == 1
    assert DateSpec().fit([pa.array([20240131, 20240229])]).format == "%Y%m%d"
    with pytest.raises(DataError, match="unit"):
        DateSpec().fit([pa.array([True])])


def test_a_time_zone_sets_the_clock() -> None:
    noon = pa.array(["2024-07-01T12:00:00Z"])
    utc = DateSpec(parts=("daytime",)).fit([noon])
    vienna = DateSpec(parts=("daytime",), timezone="Europe/Vienna").fit([noon])
    assert numbers(vienna, noon).tobytes() == numbers(utc, pa.array(["2024-07-01 14:00"])).tobytes()


def test_unknown_directives_parts_and_time_zones_are_refused() -> None:
    for spec, told in (
        (DateSpec(format="%Q"), "directives"),
        (DateSpec(parts=("elapsd",)), "Did you mean 'elapsed'"),
        (DateSpec(parts=()), "must name a part"),
        (DateSpec(timezone="Europe/Wien"), "time zone"),
    ):
        with pytest.raises(RecipeError, match=told):
            spec.fit([pa.array(["2024-01-01"])])


def test_sets_are_hot_where_a_label_is_present() -> None:
    field = SetSpec(separator=", ").fit([pa.array(["b, a, a", "b", None, ""])])
    assert (field.labels, field.counts) == (("a", "b"), (1, 2))
    assert numbers(field, pa.array(["a, b", "new", None])).tolist() == [[1, 1, 0], [0, 0, 0], [0, 0, 1]]
    assert numbers(field, pa.array([[], ["a", None]], pa.list_(pa.string()))).tolist() == [[0, 0, 0], [1, 0, 0]]


def test_labels_that_were_left_out_share_a_column() -> None:
    field = SetSpec(max_labels=1).fit([pa.array([["a", "b"], ["a"]])])
    assert numbers(field, pa.array([["a"], ["b"], ["c"]])).tolist() == [[1, 0], [0, 1], [0, 1]]
    assert numbers(field, pa.array([["a", None], [""], ["nan", "b"]])).tolist() == [[1, 0], [0, 0], [0, 1]]


def test_a_missing_set_as_a_target_is_left_out_or_empty() -> None:
    column = pa.array([["a"], None, []], pa.list_(pa.string()))
    assert np.isnan(SetSpec().fit([column]).target(column)).tolist() == [[False], [True], [False]]
    assert SetSpec(missing_target="empty").fit([column]).target(column).tolist() == [[1], [0], [0]]


def test_text_sets_need_a_separator() -> None:
    with pytest.raises(DataError, match="separator"):
        SetSpec().fit([pa.array(["a|b"])])


def test_vectors_are_standardized_by_component() -> None:
    field = VectorSpec().fit([pa.array([[1.0, 5.0], [3.0, 5.0], None])])
    assert numbers(field, pa.array(["[3, 5]", None, "1;6"])).tolist() == [[1, 0, 0], [0, 0, 1], [-1, 1, 0]]
    assert numbers(VectorSpec(normalize="none").fit([pa.array([[1.0, 5.0]])]), pa.array(["7 8"])).tolist() == [[7, 8]]


@pytest.mark.parametrize("row", ["1 2 3", "1", "1 x"])
def test_a_vector_of_another_width_or_content_is_refused(row: str) -> None:
    with pytest.raises(DataError, match="must"):
        VectorSpec().fit([pa.array(["1 2", row])])
    with pytest.raises(DataError, match="must"):
        VectorSpec().fit([pa.array([[1.0, 2.0]])]).encode(pa.array([row]))
    with pytest.raises(DataError, match=r"must hold 3 numbers in each row\. Got 2 in row 1"):
        VectorSpec(width=3).fit([pa.array([[1.0, 2.0]])])


def test_a_vector_column_that_begins_with_missing_rows_has_the_width_of_the_first_vector() -> None:
    field = VectorSpec().fit([pa.array([None, None], pa.list_(pa.float64())), pa.array([[1.0, 2.0]])])
    assert numbers(field, pa.array([None], pa.list_(pa.float64()))).tolist() == [[0, 0, 1]]
