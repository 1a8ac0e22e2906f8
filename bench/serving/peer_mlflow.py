"""MLflow and torch.

Run: BUNDLE=... python peer_mlflow.py FOLDER && BUNDLE=... mlflow models serve -m FOLDER --env-manager local
"""

import sys
from typing import Any

import mlflow.pyfunc
import torch
from by_hand import BUNDLE, answer, encode

from ceiba.bundle import open_bundle
from ceiba.model import open_model


class Adult(mlflow.pyfunc.PythonModel):
    """The adult bundle; rows come as a table of pandas."""

    def load_context(self, context: Any) -> None:
        torch.set_num_threads(1)
        self.model = open_model(open_bundle(BUNDLE)).eval()

    def predict(self, context: Any, model_input: Any, params: Any = None) -> list[dict[str, Any]]:
        found = []
        for row in model_input.to_dict("records"):
            parts = {name: torch.from_numpy(part) for name, part in encode(row).items()}
            with torch.inference_mode():
                found.append(answer(float(self.model.answers(parts)["income"][0])))
        return found


if __name__ == "__main__":
    mlflow.pyfunc.save_model(sys.argv[1], python_model=Adult(), pip_requirements=[])
