"""The search: make a candidate, measure it, decide; the best that reaches the goal becomes a bundle."""

import json
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ceiba.base.errors import BundleError, InputError, nearest
from ceiba.base.files import write_bytes, write_folder, write_json
from ceiba.bundle import (
    CARD,
    ONNX,
    PARITY,
    REPORT,
    REPORT_HTML,
    ROWS,
    WEIGHTS,
    Bundle,
    derive_bundle,
    weight_files_of,
)
from ceiba.compress.candidates import SHARES, WAYS, Candidate, Material, candidates, row_of
from ceiba.compress.goal import Goal
from ceiba.compress.language import (
    FORMS,
    Writing,
    as_written,
    has_weights,
    language_model,
    perplexity_growth,
    rounded,
    speed_of_writing,
    threads_of_torch,
)
from ceiba.compress.measure import BATCH_ROWS, Held, distance, drops, hold, machine, memory_bytes, speed, worst_class
from ceiba.compress.retrain import EPOCHS, Workshop, open_workshop
from ceiba.evaluate import evaluate
from ceiba.export import onnx_bytes, parity_report
from ceiba.export.parity import AGAIN, TOLERANCE
from ceiba.model import TorchBackend, open_model
from ceiba.predict import OnnxBackend, Predictor, kept_rows
from ceiba.prepare import clean_frame
from ceiba.read import Frame, open_frame

CORRUPT = 0.25
"""Change of the logits, as a share of their own spread, from which integers have gone wrong."""
CLASS_DROP = 5.0
"""Points that no class may lose of the rows that were found of it."""
BETTER = 0.95
"""A ratio to the original that is an improvement: less would be noise."""
ROUNDED_AGAIN = 0.05
"""Relative error that integers may have on another processor when they are opened there."""
KEPT = 3
Say = Callable[[str], None]


@dataclass(frozen=True)
class Compressed:
    """What a search found: its table, the report of the chosen model, and that model."""

    bundle: Bundle
    report: dict[str, Any]
    chosen: Candidate | None
    parity: dict[str, Any] | None

    @property
    def table(self) -> dict[str, Any]:
        """The goal, the machine and every candidate."""
        found: dict[str, Any] = self.report["compression"]
        return found


def compress(
    bundle: Bundle,
    goal: Goal,
    data: str | None = None,
    ways: Sequence[str] = (),
    epochs: float = EPOCHS,
    threads: int = 1,
    say: Say = lambda line: None,
    shares: Sequence[float] = (),
) -> Compressed:
    """Try the ways, measure each candidate beside the original, choose the best that reaches the goal.

    `data` holds the rows of the decision with their truths; None: the test rows of the recipe, or the validation rows.
    `ways`: none for all. `shares` of a network are what pruning keeps; none: SHARES, one after the other.

    Raises: InputError for an unknown way, or without rows to decide on; BundleError for a bundle without a network.
    """
    writing = language_model(bundle)
    known: Collection[str] = WAYS if writing is None else FORMS
    for way in ways:
        if way not in known:
            whose = "" if writing is None else " of a language model"
            raise InputError(f"--try must name known ways{whose}", f"'{way}'", nearest(way, known))
    ways = ways or tuple(known)
    if writing is not None:
        return compress_language(bundle, writing, goal, data, ways, threads, say)
    material, held, frame = prepare(bundle, data, epochs, tuple(shares or SHARES))
    before = held.logits(OnnxBackend(material.model, threads))
    truth = held.scored(before)
    memory = memory_bytes(material.model, held.parts(range(min(BATCH_ROWS, held.num_rows))))
    rows: list[dict[str, Any]] = []
    models: dict[str, Candidate] = {}
    for candidate in candidates(material, ways):
        began = time.monotonic()
        row = row_of(candidate)
        if candidate.model is None:
            row |= {"verdict": "failed", "why": candidate.failed}
        else:
            after = held.logits(OnnxBackend(candidate.model, threads))
            scored = held.scored(after)
            lost, group = worst_class(truth, scored)
            row |= speed(held, material.model, candidate.model, threads)
            own = memory_bytes(candidate.model, held.parts(range(min(BATCH_ROWS, held.num_rows))))
            row["bytes"], row["memory_bytes"] = len(candidate.model), own
            row["ratios"]["size"] = len(candidate.model) / len(material.model)
            row["ratios"]["memory"] = own / memory if own and memory else 1.0
            moved = distance(held.weighed(before), held.weighed(after))
            row |= {"drop": drops(truth, scored), "distance": moved, "class_drop": lost, "class": group}
            row["verdict"], row["why"] = judge(row, goal, candidate.is_rounded)
            models[candidate.name] = candidate
        row["seconds"] = time.monotonic() - began
        rows.append(row)
        say(line_of(row))
    chosen = choose(rows, goal)
    table = {
        "goal": str(goal), "split": held.name, "rows": held.num_rows, "threads": threads, "machine": machine(),
        "bytes": len(material.model), "memory_bytes": memory, "candidates": rows, "chosen": chosen,
    }  # fmt: skip
    return finished(bundle, held, frame, table, None if chosen is None else models[chosen], threads)


def compress_language(
    bundle: Bundle, writing: Writing, goal: Goal, data: str | None, ways: Sequence[str], threads: int, say: Say
) -> Compressed:
    """The same for a language model, whose matrices are kept in fewer bits: measured as it writes with them."""
    name, frame = deciding(writing.predictor, data, open_workshop(bundle, writing.model, writing.predictor))
    size = sum(path.stat().st_size for path in weight_files_of(bundle.weights_path))
    rows: list[dict[str, Any]] = []
    models: dict[str, tuple[Candidate, Writing]] = {}
    with threads_of_torch(threads):
        original = replace(writing, model=as_written(writing.model, writing.output))
        before = original.scored(frame)
        for way in ways:
            began = time.monotonic()
            form, how = FORMS[way]
            content, smaller = rounded(writing, form)
            candidate = Candidate(way, how, content, file=WEIGHTS)
            row = row_of(candidate) | speed_of_writing(original, smaller)
            row["bytes"], row["ratios"]["size"] = len(content), len(content) / size
            row |= {"drop": {writing.output: perplexity_growth(before, smaller.scored(frame))}, "class_drop": 0.0}
            row["verdict"], row["why"] = judge(row, goal, is_rounded=False)
            row["seconds"] = time.monotonic() - began
            rows.append(row)
            models[way] = candidate, smaller
            say(line_of(row))
        chosen = choose(rows, goal)
        table = {
            "goal": str(goal), "split": name, "rows": frame.num_rows, "threads": threads, "machine": machine(),
            "bytes": size, "memory_bytes": None, "candidates": rows, "chosen": chosen,
        }  # fmt: skip
        report = {**(bundle.report or {}), "compression": table}
        if chosen is None:
            return Compressed(bundle, report, None, None)
        candidate, smaller = models[chosen]
        measured = evaluate(smaller.answering(), {name: frame})
    report |= {**measured, "cost": {**report.get("cost", {}), **measured["cost"]}}
    return Compressed(bundle, report, candidate, None)


def deciding(predictor: Predictor, data: str | None, workshop: Workshop | None) -> tuple[str, Frame]:
    """The rows of the decision, and their name.

    Raises: InputError where none are at hand.
    """
    if data is not None:
        return "test", clean_frame(open_frame(data, predictor.reading), predictor.cleaner.operations)
    if workshop is None:
        do = "Name rows with their truths: --data FILE"
        raise InputError("Compression must be decided on rows with truths", "no data of the recipe", do)
    parts = workshop.splits.parts()
    name = "test" if "test" in parts else "valid"
    return name, parts[name]


def prepare(bundle: Bundle, data: str | None, epochs: float, shares: tuple[float, ...]) -> tuple[Material, Held, Frame]:
    """The original's graph, what is needed to train, and the rows of the decision.

    Raises: InputError where no rows are at hand; BundleError for a bundle with neither weights nor a graph.
    """
    workshop = None
    if has_weights(bundle):
        model = open_model(bundle)
        predictor = Predictor.from_bundle(bundle, TorchBackend(model))
        graph = onnx_bytes(model, predictor.fields.layouts())
        workshop = None if bundle.edits else open_workshop(bundle, model, predictor)
    elif (found := bundle.onnx) is not None:
        graph = found if isinstance(found, bytes) else found.read_bytes()
        predictor = Predictor.from_bundle(bundle, OnnxBackend(graph))
    else:
        raise BundleError(f"{bundle.folder} must hold weights or {ONNX}", "neither", "Use another bundle")
    name, frame = deciding(predictor, data, workshop)
    return Material(graph, workshop, epochs, shares), hold(predictor, frame, name), frame


def judge(row: Mapping[str, Any], goal: Goal, is_rounded: bool) -> tuple[str, str]:
    """The verdict on a measured candidate and its reason."""
    if is_rounded and row["distance"] > CORRUPT:
        return "refused", f"its logits moved by {row['distance']:.0%} of their spread: the integers have gone wrong"
    for name, drop in row["drop"].items():
        if drop["high"] > goal.drop:
            return "refused", (f"{name} may have lost {drop['high']:.2f} points (measured {drop['value']:.2f}), "
                               f"allowed {goal.drop:g}")  # fmt: skip
    if row["class_drop"] > CLASS_DROP:
        return "refused", f"the class {row['class']} lost {row['class_drop']:.1f} points, allowed {CLASS_DROP:g}"
    ratios = row["ratios"]
    if not (ratios["latency"] < BETTER or ratios["throughput"] > 1 / BETTER or ratios["size"] < BETTER):
        return "not taken", "neither faster nor smaller"
    if missed := goal.missed(ratios):
        return "misses the goal", "; ".join(missed)
    return "reaches the goal", ""


def choose(rows: Sequence[Mapping[str, Any]], goal: Goal) -> str | None:
    """The best by the goal's first term, or by the time of one row."""
    good = [row for row in rows if row["verdict"] == "reaches the goal"]
    first = next(iter(goal.ratios), "latency")
    sign = -1 if first == "throughput" else 1
    return min(good, key=lambda row: sign * row["ratios"][first])["name"] if good else None


def line_of(row: Mapping[str, Any]) -> str:
    """A candidate in one line."""
    if "ratios" not in row:
        return f"{row['name']}: {row['verdict']}: {row['why']}"
    ratios, drop = row["ratios"], max(one["value"] for one in row["drop"].values())
    high = max(one["high"] for one in row["drop"].values())
    return (
        f"{row['name']}: latency {ratios['latency']:.2f}x, throughput {ratios['throughput']:.2f}x, "
        f"size {ratios['size']:.2f}x, drop {drop:.2f} (at most {high:.2f}): {row['verdict']}"
        + (f": {row['why']}" if row["why"] else "")
    )


def finished(
    bundle: Bundle, held: Held, frame: Frame, table: dict[str, Any], chosen: Candidate | None, threads: int
) -> Compressed:
    """The report with the figures of the chosen model on the rows of the decision, and the rows to open it with."""
    report = dict(bundle.report or {})
    if chosen is None or chosen.model is None:
        return Compressed(bundle, report | {"compression": table}, None, None)
    backend = OnnxBackend(chosen.model, threads)
    predictor = held.predictor
    measured = evaluate(Predictor(predictor.fields, predictor.answers, backend), {held.name: frame})
    report = {**report, **measured, "cost": {**report.get("cost", {}), **measured["cost"]}, "compression": table}
    row = next(one for one in table["candidates"] if one["name"] == chosen.name)
    parts = held.parts(range(min(KEPT, held.num_rows)))
    kept = kept_rows(parts, backend(parts), ROUNDED_AGAIN if chosen.is_rounded else TOLERANCE * AGAIN)
    found = {"distance": row["distance"], "drop": row["drop"], "kept": kept}
    return Compressed(bundle, report, chosen, parity_report(found, held.num_rows, "the original in onnxruntime"))


def write(found: Compressed, out: Path, html: str, card: str | None = None) -> None:
    """The bundle of the chosen model; where none was chosen, a folder with the report alone.

    Raises: InputError if `out` exists.
    """
    if found.chosen is None or found.chosen.model is None:
        with write_folder(out, manifest=False) as folder:
            write_json(folder / REPORT, found.report)
            write_bytes(folder / REPORT_HTML, html.encode())
        return
    files = {
        found.chosen.file: found.chosen.model,
        REPORT: json.dumps(found.report, allow_nan=False, ensure_ascii=False).encode(),
        REPORT_HTML: html.encode(),
    }
    if found.parity is not None:
        files[PARITY] = json.dumps(found.parity, allow_nan=False).encode()
    if card is not None:
        files[CARD] = card.encode()
    stated = {"compressed": {"by": found.chosen.name, "how": found.chosen.how, "goal": found.table["goal"]}}
    derive_bundle(found.bundle, out, files, meta=stated, without=[WEIGHTS, ROWS])
