"""EvaluateSpec: the `evaluate` of a recipe."""

from ceiba.base.spec import Spec


class EvaluateSpec(Spec):
    """How a trained model is measured."""

    slices: tuple[str, ...] = ()
    """Columns to measure by: categories as they are, numbers by quartile."""
    baselines: bool = True
    """Whether a constant answer and a quick scikit-learn model are measured beside the model."""
