"""A number that is counted: what its head must know passes from the fitted field into the bundle and back."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import torch

from ceiba.answers import NumberAnswer
from ceiba.bundle import open_bundle, write_bundle
from ceiba.fields import FIELDS, Fields
from ceiba.heads import OutputLayout
from ceiba.model import ModelSpec, build_model, open_backend, save_weights
from ceiba.recipe.complete import output_layouts


def test_a_poisson_head_answers_in_the_users_unit_after_reopening(tmp_path: Path) -> None:
    rows = pa.record_batch({"x": [0.1, 2.5, -1.0, 0.4], "y": [0.0, 1.0, 2.0, 9.0]})
    fitted = {name: FIELDS["number"]().fit([rows.column(name)]) for name in ("x", "y")}
    fields, target = Fields({"x": fitted["x"]}, {"y": fitted["y"]}), fitted["y"]
    answer = NumberAnswer(target.mean, target.std, target.log)
    layouts = output_layouts({"y": answer}, fields)
    assert layouts == {"y": OutputLayout("number", mean=3.0, std=target.std, low=0.0)}
    spec = ModelSpec.model_validate(
        {
            "dim": 4,
            "encoders": {"table": {"kind": "table", "type": "mlp"}},
            "heads": {"y": {"type": "regression", "loss": "poisson"}},
        }
    )
    model = build_model(spec, fields.layouts(), layouts, 1).eval()
    encoded = {name: np.asarray(part) for name, part in fields.encode(rows).items()}
    path = write_bundle(
        tmp_path / "bundle", kind="model", model=model.to_json(), answers={}, fields_json=fields.to_json(),
        field_files=fields.files(), recipe_yaml="", weights=save_weights(model), edits=[],
    )  # fmt: skip
    backend = open_backend(open_bundle(path))
    logit = backend.model({name: torch.from_numpy(part) for name, part in encoded.items()})["y"].detach().numpy()
    np.testing.assert_allclose(answer.scores(backend(encoded)["y"]), 3 * np.exp(logit), rtol=1e-5)
