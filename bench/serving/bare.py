"""The least that serves the adult bundle: starlette and onnxruntime. No check, no key, no limit, no batch.

Run: BUNDLE=... uvicorn bare:app --loop uvloop --http httptools --no-access-log
"""

import os

import onnxruntime
import orjson
from by_hand import BUNDLE, answer, encode
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

options = onnxruntime.SessionOptions()
options.intra_op_num_threads = int(os.environ.get("THREADS", "1"))
session = onnxruntime.InferenceSession(str(BUNDLE / "model.onnx"), options, providers=["CPUExecutionProvider"])
TYPES = {"tensor(float)": "float32", "tensor(int64)": "int64", "tensor(int32)": "int32"}
INPUTS = {one.name: TYPES[one.type] for one in session.get_inputs()}


async def predict(request: Request) -> Response:
    """One row in, its label and probabilities out."""
    parts = encode(orjson.loads(await request.body()))
    found = session.run(None, {name: parts[name].astype(kind, copy=False) for name, kind in INPUTS.items()})
    return Response(orjson.dumps(answer(float(found[0][0]))), media_type="application/json")


app = Starlette(routes=[Route("/v1/predict", predict, methods=["POST"])])
