"""Compress: a bundle → a smaller or faster one, taken only where measuring proves it and its answers hold.
Takes       a Bundle and a goal.              Gives   the candidates as measured, and the best of them as a new Bundle.
May touch   export, evaluate, train, generate, batches, prepare, model, surgery, predict, metrics, bundle, base; onnx's.
Never       HTML, the bundle it was given, rows of the decision for calibration or retraining.
To add one  write a function in candidates.py that yields candidates, add one line to WAYS there."""

from ceiba.compress.goal import Goal, read_goal
from ceiba.compress.search import Compressed, compress, write

__all__ = ["Compressed", "Goal", "compress", "read_goal", "write"]
