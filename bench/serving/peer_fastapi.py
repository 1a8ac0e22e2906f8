"""FastAPI and torch, as tutorials have it: a typed row, one forward pass a request.

Run: BUNDLE=... uvicorn peer_fastapi:app --loop uvloop --http httptools --no-access-log
"""

from typing import Any

import torch
from by_hand import BUNDLE, ORDER, answer, encode
from fastapi import FastAPI
from pydantic import create_model

from ceiba.bundle import open_bundle
from ceiba.model import open_model

torch.set_num_threads(1)
model = open_model(open_bundle(BUNDLE)).eval()
kinds: dict[str, Any] = dict.fromkeys(ORDER, (float | str, ...))
Row = create_model("Row", **kinds)
app = FastAPI()


@app.post("/v1/predict")
async def predict(row: Row) -> dict[str, Any]:  # type: ignore[valid-type]
    """One row in, its label and probabilities out."""
    parts = {name: torch.from_numpy(part) for name, part in encode(row.model_dump()).items()}  # type: ignore[attr-defined]
    with torch.inference_mode():
        return answer(float(model.answers(parts)["income"][0]))
