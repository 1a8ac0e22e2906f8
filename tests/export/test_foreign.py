"""`ceiba import`: files of scikit-learn and hand-made ones become bundles; what a bundle does not do is refused."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import ceiba
from ceiba.base.errors import CeibaError, InputError
from ceiba.cli import main
from ceiba.export import import_onnx

RANDOM = np.random.default_rng(0)
WEIGHT = RANDOM.normal(size=(4, 3)).astype(np.float32)


def info(name: str, shape: list[Any], kind: int = TensorProto.FLOAT) -> Any:
    return helper.make_tensor_value_info(name, kind, shape)


def model_of(nodes: list[Any], inputs: list[Any], outputs: list[Any], constants: dict[str, Any], **more: Any) -> Any:
    tensors = [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()]
    graph = helper.make_graph(nodes, "g", inputs, outputs, tensors)
    opsets = [helper.make_opsetid("", more.get("opset", 17)), *more.get("domains", [])]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8)


def linear(**more: Any) -> Any:
    nodes = [helper.make_node("MatMul", ["x", "w"], ["y"])]
    return model_of(nodes, [info("x", more.pop("shape", ["n", 4]))], [info("y", ["n", 3])], {"w": WEIGHT}, **more)


@pytest.fixture
def save(tmp_path: Path) -> Callable[[Any], Path]:
    def write(model: Any) -> Path:
        onnx.save(model, tmp_path / "given.onnx")
        return tmp_path / "given.onnx"

    return write


def test_a_classifier_of_scikit_learn_is_evaluated_and_answers_as_there(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    skl2onnx = pytest.importorskip("skl2onnx")
    datasets, ensemble = pytest.importorskip("sklearn.datasets"), pytest.importorskip("sklearn.ensemble")
    iris = datasets.load_iris()
    names = np.array(["setosa", "versicolor", "virginica"])
    forest = ensemble.RandomForestClassifier(10, random_state=0).fit(iris.data, names[iris.target])
    given = skl2onnx.to_onnx(forest, iris.data[:1].astype(np.float32), target_opset={"": 17, "ai.onnx.ml": 3})
    (tmp_path / "forest.onnx").write_bytes(given.SerializeToString())
    columns = ["a", "b", "c", "d"]
    lines = [",".join([*columns, "kind"]), *(
        ",".join([*map(str, row), names[label]]) for row, label in zip(iris.data, iris.target, strict=True)
    )]  # fmt: skip
    (tmp_path / "iris.csv").write_text("\n".join(lines), encoding="utf-8")
    words = ["import", str(tmp_path / "forest.onnx"), "--columns", ",".join(columns), "--target", "kind"]
    assert main(words) == 0
    assert "answers kind: classes, 3 labels" in capsys.readouterr().out
    assert main(["evaluate", str(tmp_path / "forest"), str(tmp_path / "iris.csv"), "--json"]) == 0
    figures = json.loads(capsys.readouterr().out.splitlines()[-1])["metrics"]["test"]["kind"]
    assert figures["accuracy"]["value"] == pytest.approx(forest.score(iris.data, names[iris.target]))
    answers = ceiba.open(tmp_path / "forest").predict(ceiba.read(tmp_path / "iris.csv"))
    found = np.column_stack([answers[f"kind_{name}"] for name in names])
    np.testing.assert_allclose(found, forest.predict_proba(iris.data), atol=1e-5)


def test_a_vector_of_scores_becomes_classes_with_the_labels_given(save: Callable[[Any], Path], tmp_path: Path) -> None:
    import_onnx(save(linear()), tmp_path / "out", labels=["red", "green", "blue"])
    rows = RANDOM.normal(size=(5, 4)).astype(np.float32)
    answers = ceiba.open(tmp_path / "out").predict([{"x": row.tolist()} for row in rows])
    expected = (rows @ WEIGHT).argmax(1)
    assert [one["y"] for one in answers] == [["red", "green", "blue"][place] for place in expected]


def test_several_inputs_and_a_single_probability(save: Callable[[Any], Path], tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Cast", ["count"], ["c"], to=TensorProto.FLOAT),
        helper.make_node("Concat", ["area", "c"], ["all"], axis=1),
        helper.make_node("ReduceSum", ["all", "one"], ["sum"], keepdims=0),
        helper.make_node("Sigmoid", ["sum"], ["p"]),
    ]
    inputs = [info("area", ["n", 2]), info("count", ["n", 1], TensorProto.INT64)]
    given = save(model_of(nodes, inputs, [info("p", ["n"])], {"one": np.array([1])}))
    found = import_onnx(given, tmp_path / "out", labels=["no", "yes"], target="sold")
    assert found["inputs"] == {"area": "vector", "count": "number"}
    answer = ceiba.open(tmp_path / "out").predict({"area": [0.5, 0.25], "count": 1})
    assert answer["sold"] == "yes"
    assert answer["sold_yes"] == pytest.approx(1 / (1 + np.exp(-1.75)), abs=1e-6)


def test_a_number_and_rows_of_an_image(save: Callable[[Any], Path], tmp_path: Path) -> None:
    nodes = [helper.make_node("ReduceMean", ["pixels"], ["mean"], axes=[1, 2, 3], keepdims=0)]
    given = save(model_of(nodes, [info("pixels", [1, 2, 2, 1])], [info("mean", [1])], {}))
    found = import_onnx(given, tmp_path / "out")
    assert found["outputs"] == {"mean": {"kind": "number", "labels": []}}
    assert ceiba.open(tmp_path / "out").predict({"pixels": [1.0, 2.0, 3.0, 6.0]})["mean"] == pytest.approx(3.0)


def custom() -> Any:
    domain = [helper.make_opsetid("my.ops", 1)]
    nodes = [helper.make_node("Magic", ["x"], ["y"], domain="my.ops")]
    return model_of(nodes, [info("x", ["n", 4])], [info("y", ["n", 3])], {}, domains=domain)


def words() -> Any:
    nodes = [helper.make_node("Identity", ["x"], ["y"])]
    kind = TensorProto.STRING
    return model_of(nodes, [info("x", ["n", 1], kind)], [info("y", ["n", 1], kind)], {})


@pytest.mark.parametrize(
    ("model", "options", "says"),
    [
        (custom, {}, r"standard operators.*my\.ops\.Magic"),
        (words, {}, "must hold numbers"),
        (lambda: linear(opset=3), {}, "opset from 7"),
        (lambda: linear(shape=["n", "k"]), {}, "fixed size"),
        (linear, {"labels": ["a", "b"]}, "a label for each of the 3 scores"),
        (linear, {"columns": ["a", "b"]}, "name the 4 numbers"),
        (linear, {"target": "x"}, "name of an input"),
    ],
)
def test_what_a_bundle_does_not_do(
    model: Callable[[], Any], options: dict[str, Any], says: str, save: Callable[[Any], Path], tmp_path: Path
) -> None:
    path = save(model())
    with pytest.raises(InputError, match=says):
        import_onnx(path, tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()


def test_rows_that_depend_on_one_another_are_refused(save: Callable[[Any], Path], tmp_path: Path) -> None:
    nodes = [
        helper.make_node("ReduceMean", ["x"], ["mean"], axes=[0], keepdims=1),
        helper.make_node("Sub", ["x", "mean"], ["y"]),
    ]
    path = save(model_of(nodes, [info("x", ["n", 4])], [info("y", ["n", 4])], {}))
    with pytest.raises(CeibaError, match="alike alone and among others"):
        import_onnx(path, tmp_path / "out")


@pytest.mark.parametrize("place", ["../secret.bin", "/etc/hostname", "missing.bin"])
def test_weights_outside_the_folder_are_not_read(place: str, save: Callable[[Any], Path], tmp_path: Path) -> None:
    (tmp_path.parent / "secret.bin").write_bytes(b"\0" * 48)
    model = linear()
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value=place)
    path = tmp_path / "given.onnx"
    path.write_bytes(model.SerializeToString())
    with pytest.raises(InputError, match="model's own folder"):
        import_onnx(path, tmp_path / "out")


def test_weights_beside_the_model_are_taken_in(tmp_path: Path) -> None:
    onnx.save(linear(), tmp_path / "given.onnx", save_as_external_data=True, location="w.bin", size_threshold=0)
    import_onnx(tmp_path / "given.onnx", tmp_path / "out", labels=["a", "b", "c"])
    (tmp_path / "w.bin").unlink()
    assert ceiba.open(tmp_path / "out").predict({"x": [1.0, 0.0, 0.0, 0.0]})["y"] in ("a", "b", "c")


def test_no_onnx_file(tmp_path: Path) -> None:
    (tmp_path / "bad.onnx").write_bytes(b"not a model at all")
    for name in ("bad.onnx", "absent.onnx"):
        assert main(["import", str(tmp_path / name), "--out", str(tmp_path / "out")]) == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bad.onnx"]
