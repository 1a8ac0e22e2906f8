"""Numbers, categories and pairs of labels."""

import gzip
import math
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pytest
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier

from ceiba.base.errors import DataError
from ceiba.fields import BinarySpec, Bins, CategorySpec, Field, NumberSpec, Target
from ceiba.fields.counts import Counts
from ceiba.fields.sample import BLOCK_ROWS, Moments, Sample


def numbers(field: Field, values: list[object]) -> list[list[float]]:
    return field.encode(pa.array(values))["numbers"].tolist()


def codes(field: Field, values: list[object]) -> list[int]:
    return field.encode(pa.array(values))["codes"][:, 0].tolist()


def test_standardized_numbers_are_those_of_scikit_learn() -> None:
    values = np.random.default_rng(0).lognormal(3, 2, 5000).astype(np.float32)
    field = NumberSpec().fit([pa.array(values)])
    expected = StandardScaler().fit_transform(values.astype(np.float64)[:, None])
    np.testing.assert_allclose(field.encode(pa.array(values))["numbers"], expected, rtol=1e-5, atol=1e-6)


def test_a_constant_column_and_a_single_row_encode_to_zero() -> None:
    for column in ([7.0], [7.0] * 5):
        field = NumberSpec().fit([pa.array(column)])
        assert numbers(field, [7.0]) == [[0.0]]
        assert field.edges == ()


def test_missing_numbers_are_filled_and_marked_only_if_training_had_some() -> None:
    field = NumberSpec(missing="median", normalize="none").fit([pa.array([1.0, 2.0, 9.0, None])])
    assert numbers(field, [None, 5.0]) == [[2.0, 1.0], [5.0, 0.0]]
    whole = NumberSpec().fit([pa.array([1.0, 3.0])])
    assert numbers(whole, [None]) == [[0.0]]
    zero = NumberSpec(missing="zero").fit([pa.array([1.0, 3.0])])
    assert numbers(zero, [None]) == numbers(zero, [0.0])


def test_minus_zero_is_zero() -> None:
    field = NumberSpec(normalize="none").fit([pa.array([1.0])])
    forms = [pa.array([0]), pa.array([-0.0]), pa.array(["-0"]), pa.array(["0.0"])]
    assert len({field.encode(form)["numbers"].tobytes() for form in forms}) == 1


def test_a_bad_number_in_training_is_named_with_its_row() -> None:
    with pytest.raises(DataError, match="Got 'x' in row 5"):
        NumberSpec().fit([pa.array(["1", "2"]), pa.array([], pa.string()), pa.array(["3"]), pa.array(["4", "x"])])


def test_a_number_far_outside_the_fitted_range_stays_finite() -> None:
    field = NumberSpec().fit([pa.array([0.0, 1e-30])])
    assert np.isfinite(numbers(field, [3e38, -3e38])).all()
    assert np.isfinite(field.target(pa.array([3e38]))).all()


@pytest.mark.parametrize("log", [False, True])
def test_a_number_target_comes_back_in_the_users_unit(log: bool) -> None:
    values = [-3.0, 0.0, 12.5, 1e6, None]
    field = NumberSpec(log=log).fit([pa.array(values)])
    target = field.target(pa.array(values))
    assert target.dtype == np.float32
    assert np.isnan(target[-1])
    np.testing.assert_allclose(field.restore(target[:-1]), values[:-1], rtol=1e-4, atol=1e-7 * field.std)


def test_quantile_numbers_are_normal_whatever_the_distribution() -> None:
    values = np.random.default_rng(1).lognormal(0, 3, 20_000)
    encoded = NumberSpec(normalize="quantile").fit([pa.array(values)]).encode(pa.array(values))["numbers"][:, 0]
    assert abs(encoded.mean()) < 0.02
    assert abs(encoded.std() - 1) < 0.02


def test_bins_by_target_are_where_a_decision_tree_splits() -> None:
    values = np.random.default_rng(2).uniform(0, 10, 4000).astype(np.float32)
    classes = ((values > 3) & (values < 4)).astype(np.int64)
    field = NumberSpec(bins=Bins(count=3)).fit([pa.array(values)], Target([classes[:99], classes[99:]], is_class=True))
    encoded = field.encode(pa.array(values))["numbers"]
    tree = DecisionTreeClassifier(max_leaf_nodes=3, min_samples_leaf=64).fit(encoded, classes)
    splits = np.sort(tree.tree_.threshold[tree.tree_.feature >= 0]).astype(np.float32)
    np.testing.assert_array_equal(field.edges, [encoded.min(), *splits, encoded.max()])
    restored = field.restore(np.array(field.edges[1:3]))
    np.testing.assert_allclose(restored, [3, 4], atol=0.2)


def test_bins_by_target_leave_out_rows_without_a_target() -> None:
    values = np.arange(400, dtype=np.float64)
    target = np.where(values < 200, np.nan, (values > 300).astype(np.float64))
    field = NumberSpec(bins=Bins(count=2)).fit([pa.array(values)], Target([target], is_class=False))
    assert 299 < field.restore(np.array(field.edges[1:2]))[0] < 302
    classes = np.where(values < 200, np.where(values < 100, -1, -2), values > 300).astype(np.int64)
    again = NumberSpec(bins=Bins(count=2)).fit([pa.array(values)], Target([classes], is_class=True))
    assert again.edges == field.edges


def test_bins_fall_back_to_quantiles_of_distinct_values() -> None:
    column = pa.array([0.0] * 900 + list(range(1, 101)))
    plain = NumberSpec(bins=Bins(count=10, by="quantile")).fit([column])
    assert len(plain.edges) == 11
    for target in (None, Target([np.zeros((1000, 2))], False), Target([np.full(1000, -1)], True), Target([], True)):
        assert NumberSpec(bins=Bins(count=10)).fit([column], target).edges == plain.edges


def test_few_distinct_values_are_the_edges_themselves() -> None:
    field = NumberSpec(normalize="none").fit([pa.array([5.0, 1.0, 2.0, 2.0])])
    assert field.edges == (1.0, 2.0, 5.0)


def test_adult_capital_gain_gets_more_than_a_handful_of_bins(data: Callable[[str], Path]) -> None:
    with gzip.open(data("adult_census/adult-train.csv.gz")) as file:
        table = pyarrow.csv.read_csv(file, pyarrow.csv.ReadOptions(autogenerate_column_names=True))
    classes = BinarySpec().fit(table["f14"].chunks).target(table["f14"])
    field = NumberSpec().fit(table["f10"].chunks, Target([classes], is_class=True))
    assert len(field.edges) > 10


def test_a_label_that_training_did_not_see_has_its_own_code() -> None:
    field = CategorySpec().fit([pa.array(["b", "a", None, "a"])])
    assert field.labels == ("a", "b")
    assert field.counts == (2, 1)
    assert codes(field, [None, "zebra", "a", "b"]) == [0, 1, 2, 3]
    assert field.target(pa.array([None, "zebra", "a", "b"])).tolist() == [-2, -1, 0, 1]
    assert field.cardinalities() == (4,)


def test_a_target_of_one_class_fits() -> None:
    assert CategorySpec().fit([pa.array(["x", "x"])]).labels == ("x",)
    field = BinarySpec().fit([pa.array(["x", None])])
    assert field.labels == ("x",)
    assert numbers(field, ["x", "y"]) == [[0.0, 0.0], [0.0, 1.0]]


def test_labels_of_numbers_are_ordered_by_size_and_found_in_any_spelling() -> None:
    field = CategorySpec().fit([pa.array([10, 9, 2])])
    assert field.labels == ("2", "9", "10")
    assert codes(field, ["2.00", "0010", "9e0", "x"]) == [2, 4, 3, 1]


def test_versions_and_codes_that_look_like_numbers_stay_apart() -> None:
    field = CategorySpec().fit([pa.array(["1.1", "1.10", "007"])])
    assert len(set(codes(field, ["1.1", "1.10", "007", "7"]))) == 4


def test_a_million_labels_are_capped_and_the_rest_is_unseen() -> None:
    chunks = [
        pa.array([f"id{row}" for row in range(start, start + 100_000)] + ["often"] * 9)
        for start in range(0, 10**6, 10**5)
    ]
    field = CategorySpec(max_labels=50).fit(chunks)
    assert len(field.labels) == 50
    assert "often" in field.labels
    assert codes(field, ["id999999", "often"])[0] == 1


def test_counts_forget_the_rarest_when_they_are_too_many_to_hold() -> None:
    counts = Counts(most_held=100)
    for start in range(0, 3000, 1000):
        labels = pa.array(["often", *[f"{row}" for row in range(start, start + 999)]])
        counts.add(np.concatenate([np.arange(1000), np.zeros(50, int)]), labels)
        assert len(counts) <= 100
    assert counts.most(1) == (["often"], [153])
    assert counts.forgotten > 2000


def test_a_third_label_in_a_binary_column_is_refused_with_the_way_out() -> None:
    with pytest.raises(DataError) as told:
        BinarySpec().fit([pa.array(["no", "yes", "no"]), pa.array(["maybe"])])
    assert "must hold two labels" in str(told.value)
    assert "category" in str(told.value)
    assert "maybe" in str(told.value)


@pytest.mark.parametrize(
    ("labels", "second"),
    [
        (["Yes", "no"], "Yes"),
        (["yes", "No"], "yes"),
        ([1, 0], "1"),
        ([True, False], "true"),
        ([1, -1], "1"),
        (["Good", "Bad"], "Good"),
        (["a", "b"], "b"),
    ],
)
def test_the_positive_label_is_the_second(labels: list[object], second: str) -> None:
    assert BinarySpec().fit([pa.array(labels)]).labels[1] == second


def test_the_positive_label_may_be_named() -> None:
    assert BinarySpec(positive="a").fit([pa.array(["a", "b"])]).labels == ("b", "a")
    with pytest.raises(DataError, match="positive"):
        BinarySpec(positive="c").fit([pa.array(["a", "b"])])


def test_truth_and_digits_answer_to_each_other() -> None:
    field = BinarySpec().fit([pa.array([True, False])])
    assert field.target(pa.array([1, 0, 2])).tolist() == [1, 0, -1]
    assert field.target(pa.array(["True", "0", None])).tolist() == [1, 0, -2]
    digits = BinarySpec().fit([pa.array([0, 1])])
    assert digits.target(pa.array([True, False, None])).tolist() == [1, 0, -2]
    assert digits.target(pa.array(["yes"])).tolist() == [-1]


def test_moments_do_not_depend_on_chunks_and_are_those_of_numpy() -> None:
    values = np.random.default_rng(3).normal(1e6, 1, 3 * BLOCK_ROWS + 17)
    values[5] = np.nan
    results = []
    for step in (len(values), 1000, BLOCK_ROWS + 1):
        moments = Moments()
        for start in range(0, len(values), step):
            moments.add(values[start : start + step])
        results.append((moments.count, moments.low, moments.high, *moments.settle()))
    assert results[0] == results[1] == results[2]
    assert math.isclose(results[0][3], np.nanmean(values), rel_tol=1e-12)
    assert math.isclose(results[0][4], np.nanstd(values), rel_tol=1e-9)


def test_a_sample_keeps_the_same_rows_of_streams_side_by_side() -> None:
    one, other = Sample(100, seed=4), Sample(100, seed=4)
    one.add(np.arange(5000))
    for start in range(0, 5000, 7):
        other.add(np.arange(start, min(5000, start + 7)) * 2)
    np.testing.assert_array_equal(one.values() * 2, other.values())
    assert 20 < len(one.values()) <= 100
    assert abs(one.values().mean() - 2500) < 600
    different = Sample(100, seed=5)
    different.add(np.arange(5000))
    assert one.values().tolist() != different.values().tolist()


def test_memory_of_a_fit_does_not_grow_with_rows() -> None:
    def stream(chunks: int) -> Iterator[pa.Array]:
        for place in range(chunks):
            yield pa.array(np.random.default_rng(place).normal(size=50_000))

    peaks = []
    for chunks in (10, 40):
        tracemalloc.start()
        NumberSpec(bins=None).fit(stream(chunks))
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < peaks[0] * 1.2
