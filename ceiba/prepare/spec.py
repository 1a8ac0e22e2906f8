"""DataSpec: the `data` of a recipe."""

from typing import Annotated, Any, Literal

from pydantic import Field, PlainSerializer, WithJsonSchema, model_validator
from pydantic_core import PydanticCustomError

from ceiba.base.spec import Spec
from ceiba.clean import CleanOption, Names
from ceiba.read import ReadSpec

VALID_SHARE = 0.1
TEST_SHARE = 0.1
ROUNDING = 1e-6
IN_MEMORY = "(in memory)"
"""What a recipe says of a table that has no path."""


def _written(value: object) -> object:
    """What a recipe can say of a source: its path or paths; a table in memory has none."""
    if isinstance(value, list | tuple):
        return [_written(item) for item in value] if all(_is_path(item) for item in value) else IN_MEMORY
    if isinstance(value, dict) and value and all(_is_path(item) for item in value.values()):
        return {str(name): str(item) for name, item in value.items()}
    return str(value) if _is_path(value) else IN_MEMORY


def _broken(rule: str, got: str, do: str) -> PydanticCustomError:
    """An error that `recipe.py` renders in the house form."""
    return PydanticCustomError("data", rule, {"got": got, "do": do})


def _is_path(value: object) -> bool:
    return isinstance(value, str) or hasattr(value, "__fspath__")


DataSource = Annotated[
    Any,
    PlainSerializer(_written),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string"},
                {"type": "array", "items": {"type": "string"}},
                {"type": "object", "additionalProperties": {"type": "string"}},
            ]
        }
    ),
]
"""A path, a pattern, a list of paths, or {column: file of its lines}; from Python also a table in memory."""


class SplitSpec(Spec):
    """How rows are shared out where the data do not come in separate files."""

    train: float | None = Field(None, gt=0, le=1)
    """Share of the rows that is trained on; the rest of the others when left out."""
    valid: float | None = Field(None, ge=0, lt=1)
    """Share that training is watched on; a tenth when left out."""
    test: float | None = Field(None, ge=0, lt=1)
    """Share that is measured on once, at the end; a tenth when left out and no other file is given."""
    by: Literal["random", "stratified", "time", "group", "order"] | None = None
    """How: at random, with every class alike in each part, the newest rows last, whole groups together, or the rows as
    they stand, the test last; left out: order for lines of text, stratified where there is a class, else random."""
    column: str | None = None
    """The column that holds the time or the group."""
    seed: int = 0
    """Another number gives another split."""
    folds: int | None = Field(None, ge=2)
    """Number of parts for cross-validation; every row is in the test part once."""

    @model_validator(mode="after")
    def _fit_together(self) -> "SplitSpec":
        if self.by in ("time", "group") and self.column is None:
            raise _broken(f"by: {self.by} needs a column", "none", "Add column: the name of the column that holds it")
        if self.by not in ("time", "group") and self.column is not None:
            raise _broken("must say what its column is for", repr(self.column), "Add by: time or by: group")
        shares = (self.train, self.valid, self.test)
        total = sum(share for share in shares if share is not None)
        if total > 1 + ROUNDING or (None not in shares and abs(total - 1) > ROUNDING):
            raise _broken("must have shares that add up to 1", f"{total:g}", "Change train, valid or test")
        return self

    def shares(self, has_valid: bool, has_test: bool) -> tuple[float, float]:
        """(valid, test) shares of the training file's rows, with the parts that have files of their own at 0."""
        own = 0.0 if has_valid and self.train is None else TEST_SHARE
        test = 0.0 if has_test else own if self.test is None else self.test
        valid = 0.0 if has_valid else VALID_SHARE if self.valid is None else self.valid
        if self.train is not None:
            left = max(1 - self.train, 0.0)
            if self.valid is None and not has_valid:
                valid = max(left - test, 0.0) if self.test is not None or has_test else left / 2
            if self.test is None and not has_test:
                test = max(left - valid, 0.0)
        return valid, test


class DataSpec(ReadSpec):
    """Where the data are, how they are read, cleaned and shared out."""

    root: str | None = None
    """The folder that relative paths are taken from; the recipe's own when left out."""
    train: DataSource = None
    """What is trained on; without `test`, a part of it is held back."""
    valid: DataSource = None
    """What training is watched on (early stopping, the best epoch, thresholds)."""
    test: DataSource = None
    """What is measured on once, at the end."""
    split: SplitSpec = SplitSpec()
    """How rows are shared out where there are not three files."""
    clean: tuple[CleanOption, ...] = ()
    """Operations on columns and rows, in order, each once over every part."""
    ids: Names = ()
    """Columns that are passed through to the answers and never learnt from."""
    weight: str | None = None
    """The column with each row's weight in the loss, also the one that chooses the epoch; 1 when left out. The figures
    of the report count every row alike."""

    @model_validator(mode="after")
    def _has_train(self) -> "DataSpec":
        if self.train is None:
            raise _broken("must say what is trained on", "none", "Add train: the path of a file or folder")
        if self.test is not None and self.split.test:
            raise _broken(
                "must not have both a test file and a test share", f"{self.split.test:g}", "Remove split.test"
            )
        if self.valid is not None and self.split.valid:
            raise _broken(
                "must not have both a valid file and a valid share", f"{self.split.valid:g}", "Remove split.valid"
            )
        return self

    def reading(self) -> ReadSpec:
        """The part of this spec that says how to read."""
        return ReadSpec(**{name: getattr(self, name) for name in ReadSpec.model_fields})
