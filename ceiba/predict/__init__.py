"""Predict: rows → fields → backend → answers. The one path of evaluation, prediction and serving.
Takes       rows in any form, fitted fields, a backend.      Gives   logits, answers, files of answers.
May touch   read, clean, fields, answers, bundle, base, onnxruntime.   Never   torch, prepare, a network's inside.
To add one  a backend is any callable {part: array} → {output: logits}; a form of rows is a line in forms.py."""

from ceiba.predict.files import WRITERS, predict_file, unnested
from ceiba.predict.onnx import OnnxBackend, open_onnx
from ceiba.predict.parity import MASKED, kept_rows, recheck, relative_error
from ceiba.predict.predictor import EMBEDDING, Backend, Predictor
from ceiba.predict.quotes import quoted_texts

__all__ = [
    "EMBEDDING",
    "MASKED",
    "WRITERS",
    "Backend",
    "OnnxBackend",
    "Predictor",
    "kept_rows",
    "open_onnx",
    "predict_file",
    "quoted_texts",
    "recheck",
    "relative_error",
    "unnested",
]
