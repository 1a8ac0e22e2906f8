"""FastAPI and torch, as tutorials have it: a typed row, one forward pass a request.

/v1/predict computes in the loop, which is faster and lets nobody else in meanwhile; /threads/predict computes in a
thread, as FastAPI's documentation tells for work that blocks.

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
kinds: dict[str, Any] = dict.fromkeys(ORDER, (float | str | None, ...))
Row = create_model("Row", **kinds)
app = FastAPI()


def answered(row: dict[str, Any]) -> dict[str, Any]:
    """One row in, its label and probabilities out."""
    parts = {name: torch.from_numpy(part) for name, part in encode(row).items()}
    with torch.inference_mode():
        return answer(float(model.answers(parts)["income"][0]))


@app.post("/v1/predict")
async def in_loop(row: Row) -> dict[str, Any]:  # type: ignore[valid-type]
    return answered(row.model_dump())  # type: ignore[attr-defined]


@app.post("/threads/predict")
def in_thread(row: Row) -> dict[str, Any]:  # type: ignore[valid-type]
    return answered(row.model_dump())  # type: ignore[attr-defined]
