"""LitServe and torch, with its batching. Run: BUNDLE=... python peer_litserve.py PORT"""

import sys
from typing import Any

import litserve
import numpy as np
import torch
from by_hand import BUNDLE, answer, encode

from ceiba.bundle import open_bundle
from ceiba.model import open_model


class Adult(litserve.LitAPI):
    """The adult bundle."""

    def setup(self, device: str) -> None:
        torch.set_num_threads(1)
        self.model = open_model(open_bundle(BUNDLE)).eval()

    def decode_request(self, request: dict[str, Any]) -> Any:
        return encode(request)

    def batch(self, inputs: list[Any]) -> Any:
        return {name: np.concatenate([one[name] for one in inputs]) for name in inputs[0]}

    def predict(self, batch: Any) -> Any:
        with torch.inference_mode():
            found = self.model.answers({name: torch.from_numpy(part) for name, part in batch.items()})
        return found["income"].tolist()

    def unbatch(self, output: Any) -> Any:
        return output

    def encode_response(self, output: float) -> dict[str, Any]:
        return answer(output)


if __name__ == "__main__":
    api = Adult(max_batch_size=64, batch_timeout=0.002, api_path="/v1/predict")
    litserve.LitServer(api, accelerator="cpu").run(
        host="127.0.0.1", port=int(sys.argv[1]), generate_client_file=False, log_level="warning"
    )
