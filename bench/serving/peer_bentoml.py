"""BentoML and torch: one forward pass a request. Run: BUNDLE=... bentoml serve peer_bentoml:Adult --port PORT"""

from typing import Any

import bentoml
import torch
from by_hand import BUNDLE, answer, encode

from ceiba.bundle import open_bundle
from ceiba.model import open_model


@bentoml.service(workers=1, metrics={"enabled": False}, logging={"access": {"enabled": False}})
class Adult:
    """The adult bundle."""

    def __init__(self) -> None:
        torch.set_num_threads(1)
        self.model = open_model(open_bundle(BUNDLE)).eval()

    @bentoml.api(route="/v1/predict")
    async def predict(self, row: dict[str, Any], /) -> dict[str, Any]:
        """One row in, its label and probabilities out."""
        parts = {name: torch.from_numpy(part) for name, part in encode(row).items()}
        with torch.inference_mode():
            return answer(float(self.model.answers(parts)["income"][0]))
