"""The tree of one column against scikit-learn's."""

import numpy as np
import pytest

from ceiba.fields.splits import tree_splits

trees = pytest.importorskip("sklearn.tree")


@pytest.mark.parametrize("classes", [0, 2, 5])
@pytest.mark.parametrize(("leaves", "rows_a_leaf"), [(2, 1), (9, 20), (48, 64)])
@pytest.mark.parametrize("rounded", [False, True])
def test_the_cuts_are_those_of_scikit_learn(classes: int, leaves: int, rows_a_leaf: int, rounded: bool) -> None:
    random = np.random.default_rng(leaves)
    values = random.normal(size=3000)
    values = (values.round(1) if rounded else values).astype(np.float32)
    signal = np.sin(3 * values) + random.normal(0, 0.5, 3000)
    target = np.digitize(signal, np.linspace(-1, 1, classes - 1)) if classes else signal.astype(np.float32)
    kind = trees.DecisionTreeClassifier if classes else trees.DecisionTreeRegressor
    reference = kind(max_leaf_nodes=leaves, min_samples_leaf=rows_a_leaf, random_state=0).fit(values[:, None], target)
    expected = np.sort(reference.tree_.threshold[reference.tree_.feature >= 0])
    found = tree_splits(values, target, classes > 0, leaves, rows_a_leaf)
    assert len(found) == len(expected) > 0
    # The two break ties, and what rounding makes of near ties, their own way.
    assert np.isclose(found, expected, rtol=1e-6, atol=1e-6).mean() > 0.95


@pytest.mark.parametrize("values", [[], [1.0], [2.0, 2.0, 2.0]])
def test_nothing_to_cut(values: list[float]) -> None:
    found = tree_splits(np.array(values, dtype=np.float32), np.zeros(len(values)), False, 5, 1)
    assert found.tolist() == []


def test_a_target_that_says_nothing_is_not_cut() -> None:
    assert tree_splits(np.arange(50, dtype=np.float32), np.ones(50), False, 5, 1).tolist() == []
