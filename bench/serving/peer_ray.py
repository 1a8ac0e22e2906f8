"""Ray Serve and torch, with its batching. Run: BUNDLE=... python peer_ray.py PORT"""

import os
import sys
import time
from typing import Any

import numpy as np
import ray
import torch
from by_hand import BUNDLE, answer, encode
from ray import serve
from starlette.requests import Request

from ceiba.bundle import open_bundle
from ceiba.model import open_model


@serve.deployment(max_ongoing_requests=200)
class Adult:
    """The adult bundle."""

    def __init__(self) -> None:
        torch.set_num_threads(1)
        self.model = open_model(open_bundle(BUNDLE)).eval()

    @serve.batch(max_batch_size=64, batch_wait_timeout_s=0.002)  # type: ignore[untyped-decorator]
    async def answers(self, rows: list[Any]) -> list[dict[str, Any]]:
        """Rows that came together."""
        parts = {name: torch.from_numpy(np.concatenate([row[name] for row in rows])) for name in rows[0]}
        with torch.inference_mode():
            return [answer(logit) for logit in self.model.answers(parts)["income"].tolist()]

    async def __call__(self, request: Request) -> Any:
        return await self.answers(encode(await request.json()))


if __name__ == "__main__":
    passed = {name: os.environ[name] for name in ("BUNDLE", "PYTHONPATH")}
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, runtime_env={"env_vars": passed})
    serve.start(http_options={"host": "127.0.0.1", "port": int(sys.argv[1])})
    serve.run(Adult.bind(), route_prefix="/v1/predict")
    while True:
        time.sleep(60)
