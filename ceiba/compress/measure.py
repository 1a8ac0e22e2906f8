"""What a candidate is worth: answers on the rows of the decision, time beside the original, size, memory."""

import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ceiba.answers import SpanAnswer
from ceiba.answers.span import MARGIN
from ceiba.base.errors import InputError
from ceiba.compress.smaller import has_fast_integers
from ceiba.evaluate.gather import Scored, beside_truth
from ceiba.evaluate.rows import PAIRED
from ceiba.fields import Encoded, Ragged
from ceiba.metrics import figures, known_rows, paired_difference, paired_f1, per_row
from ceiba.predict import MASKED, Backend, OnnxBackend, Predictor
from ceiba.read import Frame

Array = NDArray[Any]
BATCH_ROWS = 64
WARM_UP = 3
ROUNDS = 60
"""Calls of each that are timed, one after the other, A B A B."""
LEAST_S, MOST_S = 0.3, 6.0
"""How long a race of two goes on, at least and at most."""
MANY = 50
"""Rows of a class from which its own loss counts."""
DRAWN = 256


@dataclass(frozen=True)
class Held:
    """Rows that decide, encoded once."""

    predictor: Predictor
    frame: Frame
    encoded: Encoded
    name: str

    @property
    def num_rows(self) -> int:
        """How many there are."""
        return len(next(iter(self.encoded.values())))

    def scored(self, logits: Mapping[str, Array]) -> dict[str, Scored]:
        """Every output's truths and scores."""
        return beside_truth(self.frame, self.predictor, logits)

    def logits(self, backend: Backend) -> dict[str, Array]:
        """What a network answers to all rows."""
        predictor = self.predictor
        return Predictor(predictor.fields, predictor.answers, backend).run(self.encoded)

    def weighed(self, logits: Mapping[str, Array]) -> dict[str, Array]:
        """What of the logits tells by its change how far a network has moved: of a span, how sure it is of it; its
        ends jump."""
        answers = self.predictor.answers
        return {name: one[:, MARGIN:] if isinstance(answers[name], SpanAnswer) else one for name, one in logits.items()}

    def parts(self, rows: Sequence[int]) -> dict[str, Array]:
        """Some rows as a network reads them."""
        places = np.asarray(rows)
        return {name: one.take(places).pad() if isinstance(one, Ragged) else one[places]
                for name, one in self.encoded.items()}  # fmt: skip


def hold(predictor: Predictor, frame: Frame, name: str) -> Held:
    """Encode the rows of the decision."""
    table = frame.to_table().combine_chunks()
    encoded = predictor.fields.encode(table.to_batches(max_chunksize=max(table.num_rows, 1))[0])
    return Held(predictor, frame, encoded, name)


def drops(before: Mapping[str, Scored], after: Mapping[str, Scored]) -> dict[str, dict[str, float]]:
    """Points lost by output, with the paired interval: of the share answered right, of a tagger's F1 over whole
    entities, or by how much a number's error (the root of its mean square) grows.

    Raises: InputError for a tagger on rows without any entity.
    """
    found = {}
    for name, one in before.items():
        if one.kind == "tags":
            figure = paired_f1(one.truth, one.scores, after[name].scores, resamples=1000)
            if figure is None:
                got = "none, in truth or as answered"
                raise InputError(f"The rows of the decision must hold an entity of '{name}'", got, "Use other rows")
            values = (
                figures("tags", one.truth, each.scores, resamples=1)["f1"]["value"] for each in (one, after[name])
            )
            found[name] = {key: 100 * figure[key] for key in ("value", "low", "high")}
            found[name] |= dict(zip(("before", "after"), values, strict=True))
            continue
        metric = PAIRED[one.kind]
        first, second = (
            per_row(each.kind, each.truth, each.scores, metric, each.threshold) for each in (one, after[name])
        )
        pair = (second, first) if one.kind == "number" else (first, second)  # an error grows, a share falls
        figure = paired_difference(*pair, resamples=1000)
        assert figure is not None
        drop = {"value": figure["value"], "low": figure["low"], "high": figure["high"]}
        if one.kind == "number":  # from a difference of squares to a growth of their root
            whole = max(float(first.mean()), 1e-30)
            drop = {key: float(np.sqrt(max(1 + value / whole, 0.0)) - 1) for key, value in drop.items()}
        found[name] = {key: 100 * value for key, value in drop.items()} | {"before": float(first.mean()),
                                                                         "after": float(second.mean())}  # fmt: skip
    return found


def worst_class(before: Mapping[str, Scored], after: Mapping[str, Scored]) -> tuple[float, str]:
    """The class that lost most of the rows that were found of it, in points."""
    worst = (0.0, "")
    for name, one in before.items():
        if one.kind not in ("binary", "classes"):
            continue
        known = known_rows(one.truth)
        truth, first, second = one.truth[known], one.predicted()[known], after[name].predicted()[known]
        for place in np.flatnonzero(np.bincount(truth, minlength=len(one.labels)) >= MANY):
            own = truth == place
            lost = 100 * float((first[own] == place).mean() - (second[own] == place).mean())
            worst = max(worst, (lost, one.labels[int(place)]))
    return worst


def distance(before: Mapping[str, Array], after: Mapping[str, Array]) -> float:
    """Root mean square of the change of the logits, as a share of the logits' own; the largest over the outputs."""
    changes = []
    for name, one in before.items():
        other = after[name]
        told = one != MASKED
        own, change = one[told], (other - one)[told]
        changes.append(float(np.sqrt(np.mean(change**2) / max(float(np.mean((own - own.mean()) ** 2)), 1e-12))))
    return max(changes)


def race(first: OnnxBackend, second: OnnxBackend, parts: Sequence[Mapping[str, Array]]) -> tuple[Array, Array]:
    """Seconds of each call of two models, taken in turns on the same rows."""
    seconds: tuple[list[float], list[float]] = ([], [])
    for backend in (first, second):
        for one in parts[:WARM_UP]:
            backend(one)
    began, turn = time.perf_counter(), 0
    while True:
        spent = time.perf_counter() - began
        if spent > MOST_S or (turn >= ROUNDS and spent > LEAST_S):
            return np.array(seconds[0]), np.array(seconds[1])
        one = parts[turn % len(parts)]
        for backend, taken in zip((first, second), seconds, strict=True):
            start = time.perf_counter()
            backend(one)
            taken.append(time.perf_counter() - start)
        turn += 1


def speed(held: Held, original: bytes, candidate: bytes, threads: int) -> dict[str, Any]:
    """Time of one row (median, p99) and of a batch, of the candidate and of the original beside it; their ratios."""
    first, second = OnnxBackend(original, threads), OnnxBackend(candidate, threads)
    count = min(held.num_rows, DRAWN)
    singles = [held.parts([row]) for row in range(count)]
    batch = min(BATCH_ROWS, held.num_rows)
    several = [held.parts(range(start, start + batch)) for start in range(0, max(count - batch, 0) + 1, batch)]
    return told_speed(race(first, second, singles), race(first, second, several), batch)


def told_speed(one: tuple[Array, Array], many: tuple[Array, Array], batch: int) -> dict[str, Any]:
    """What races of the original with a candidate tell of the latter, a row or a `batch` of rows at a time."""

    def told(which: int) -> dict[str, float]:
        return {
            "latency_ms": 1e3 * float(np.median(one[which])),
            "p99_ms": 1e3 * float(np.quantile(one[which], 0.99)),
            "rows_per_second": batch / float(np.median(many[which])),
        }

    own, beside = told(1), told(0)
    return {
        **own, "beside": beside, "batch_rows": batch,
        "ratios": {
            "latency": own["latency_ms"] / beside["latency_ms"],
            "p99": own["p99_ms"] / beside["p99_ms"],
            "throughput": own["rows_per_second"] / beside["rows_per_second"],
        },
    }  # fmt: skip


FOOTPRINT = """
import sys, numpy, onnxruntime
def held():
    return sum(int(l.split()[1]) for l in open('/proc/self/status') if l.startswith(('RssAnon', 'RssShmem')))
parts = dict(numpy.load(sys.argv[2])); options = onnxruntime.SessionOptions()
options.intra_op_num_threads, options.log_severity_level = 1, 3
before = held(); session = onnxruntime.InferenceSession(sys.argv[1], options)
for _ in range(3): session.run(None, parts)
print(1024 * (held() - before))
"""


def memory_bytes(model: bytes, parts: Mapping[str, Array]) -> int | None:
    """Memory that a fresh process takes to open a model and run a batch; None where the system does not tell."""
    if not Path("/proc/self/status").is_file():
        return None
    types = OnnxBackend(model, 1).inputs
    with tempfile.TemporaryDirectory(prefix="ceiba-") as folder:
        Path(f"{folder}/model.onnx").write_bytes(model)
        feeds = {name: np.ascontiguousarray(parts[name], kind) for name, kind in types.items()}
        np.savez(f"{folder}/parts.npz", allow_pickle=False, **feeds)
        words = [sys.executable, "-c", FOOTPRINT, f"{folder}/model.onnx", f"{folder}/parts.npz"]
        run = subprocess.run(words, capture_output=True, text=True, check=False)
    return max(int(run.stdout), 1) if run.returncode == 0 else None


def machine() -> dict[str, Any]:
    """The processor that the figures are of."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.is_file() else []
    models = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return {"processor": models[0] if models else platform.machine(), "cores": len(models) or None,
            "integer_products": has_fast_integers()}  # fmt: skip
