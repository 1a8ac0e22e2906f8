"""What every kind of field keeps to; a new kind in FIELDS is tested as soon as it has a case."""

import json
import warnings
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from columns import CASES, Case, Values
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter

from ceiba.base.errors import DataError
from ceiba.fields import FIELDS, Encoded, Field, FieldOptions, Ragged, TableLayout, TextLayout, WordsLayout, load_field

EXAMPLES = settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
by_name = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)


def fitted(case: Case, chunks: list[pa.Array]) -> Field:
    try:
        return case.spec().fit(chunks)
    except DataError as error:
        assume("missing values" not in str(error))
        raise


def training(case: Case, values: Values) -> pa.Array:
    """The values in the plainest form, and for a kind of two labels no third one."""
    return case.forms(values)[0]


def flat(encoded: Encoded | np.ndarray) -> dict[str, tuple[Any, ...]]:
    """Everything about an encoding, row by row, as bytes."""
    if isinstance(encoded, np.ndarray):
        encoded = {"target": encoded}
    rows: dict[str, tuple[Any, ...]] = {}
    for part, values in encoded.items():
        if isinstance(values, Ragged):
            ends = values.offsets
            found = [values.values[ends[place] : ends[place + 1]].tobytes() for place in range(len(values))]
            rows[part] = (str(values.values.dtype), *found)
        else:
            rows[part] = (str(values.dtype), values.shape[1:], *[row.tobytes() for row in values])
    return rows


def joined(parts: list[dict[str, tuple[Any, ...]]], head: int) -> dict[str, tuple[Any, ...]]:
    return {name: sum((part[name][head:] for part in parts[1:]), parts[0][name]) for name in parts[0]}


def heads(one: dict[str, tuple[Any, ...]]) -> int:
    return next(1 if isinstance(rows[1] if len(rows) > 1 else b"", bytes) else 2 for rows in one.values())


def test_every_kind_has_a_case() -> None:
    assert {case.kind for case in CASES} == set(FIELDS)


@by_name
def test_equal_values_encode_to_equal_bytes_in_any_form_and_any_company(case: Case) -> None:
    """Law 1: the bytes of training are the bytes of serving."""

    @EXAMPLES
    @given(st.lists(case.values, min_size=1, max_size=8), st.lists(case.values, max_size=8), st.data())
    def check(train: Values, serve: Values, data: st.DataObject) -> None:
        field = fitted(case, [training(case, train)])
        rows = train + serve
        forms = case.forms(rows)
        steps = [field.encode, field.target] if case.target else [field.encode]
        for step in steps:
            whole = flat(step(forms[0]))
            cut = data.draw(st.integers(0, len(rows)))
            form = data.draw(st.sampled_from(forms))
            assert flat(step(form)) == whole, form.type
            several = [flat(step(form[:cut])), flat(step(form[cut:]))]
            assert joined(several, heads(whole)) == whole, form.type
            alone = [flat(step(form[place : place + 1])) for place in range(len(rows))]
            assert joined(alone, heads(whole)) == whole, form.type

    check()


@by_name
def test_a_field_survives_json_and_files_with_every_bit(case: Case) -> None:
    @EXAMPLES
    @given(st.lists(case.values, min_size=1, max_size=8))
    def check(values: Values) -> None:
        column = training(case, values)
        field = fitted(case, [column])
        text = json.dumps(field.to_json(), allow_nan=False)
        again = load_field(json.loads(text), field.files())
        assert json.dumps(again.to_json()) == text
        assert again.files() == field.files()
        assert again.layout("x") == field.layout("x")
        assert flat(again.encode(column)) == flat(field.encode(column))

    check()


@by_name
def test_a_fit_does_not_depend_on_chunks(case: Case) -> None:
    @EXAMPLES
    @given(st.lists(case.values, min_size=1, max_size=8), st.data())
    def check(values: Values, data: st.DataObject) -> None:
        column = training(case, values)
        cut = data.draw(st.integers(0, len(values)))
        whole, parts = fitted(case, [column]), fitted(case, [column[:0], column[:cut], column[cut:]])
        assert parts.to_json() == whole.to_json()
        assert parts.files() == whole.files()

    check()


@by_name
def test_the_layout_tells_the_shapes_of_what_is_encoded(case: Case) -> None:
    @EXAMPLES
    @given(st.lists(case.values, min_size=1, max_size=8), st.lists(case.values, max_size=4))
    def check(train: Values, serve: Values) -> None:
        field = fitted(case, [training(case, train)])
        encoded, layout = field.encode(training(case, train + serve)), field.layout("x")
        rows = len(train + serve)
        if isinstance(layout, TableLayout):
            numbers = encoded.get("numbers", np.zeros((rows, 0), np.float32))
            codes = encoded.get("codes", np.zeros((rows, 0), np.int32))
            assert (numbers.shape, numbers.dtype) == ((rows, layout.num_numbers), np.float32)
            assert (codes.shape, codes.dtype) == ((rows, len(layout.cardinalities)), np.int32)
            assert len(layout.names) == layout.num_numbers + len(layout.cardinalities)
            assert len(layout.edges) == layout.num_numbers
            assert all(list(edges) == sorted(set(edges)) and len(edges) != 1 for edges in layout.edges)
            assert np.isfinite(numbers).all()
            assert ((codes >= 0) & (codes < np.array(layout.cardinalities, int))).all()
        elif isinstance(layout, WordsLayout):
            ids, letters = encoded["ids"], encoded["characters"]
            assert (ids.lengths == letters.lengths).all()
            assert ((ids.values > 0) & (ids.values < layout.vocab)).all()
            assert letters.values.shape == (len(ids.values), layout.max_characters)
            assert ((letters.values >= 0) & (letters.values < layout.characters)).all()
        elif isinstance(layout, TextLayout):
            ids = encoded["ids"]
            assert ids.values.dtype == np.int32
            assert ids.lengths.max(initial=0) <= layout.max_tokens
            assert ((ids.values > 0) & (ids.values < layout.vocab)).all()
            assert ("weights" in encoded) == layout.weighted
        else:
            assert encoded["pixels"].shape == (rows, layout.height, layout.width, layout.channels)
            assert encoded["pixels"].dtype == np.uint8
            assert len(layout.mean) == len(layout.std) == layout.channels

    check()


@by_name
def test_no_rows_encode_to_no_rows(case: Case) -> None:
    values = _some(case)
    field = case.spec().fit([training(case, values)])
    empty = field.encode(training(case, values)[:0])
    for part, array in field.encode(training(case, values)).items():
        assert len(empty[part]) == 0
        assert (isinstance(array, Ragged) and len(empty[part].values) == 0) or empty[part].shape[1:] == array.shape[1:]


@by_name
def test_only_missing_values_are_refused(case: Case) -> None:
    column = training(case, _some(case))
    for missing in ([], [pa.nulls(3, column.type)], [column[:0]]):
        with pytest.raises(DataError) as told:
            case.spec().fit(missing)
        assert "\n" not in str(told.value)


@by_name
def test_inputs_and_global_state_are_left_alone(case: Case) -> None:
    column = training(case, _some(case))
    before, state = column.to_pylist(), np.random.get_state()[1].tolist()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        field = case.spec().fit([column])
        field.encode(column)
    assert column.to_pylist() == before
    assert np.random.get_state()[1].tolist() == state
    assert hash(repr(field)) is not None


@by_name
def test_a_spec_survives_json(case: Case) -> None:
    spec = case.spec()
    adapter = TypeAdapter(FieldOptions)
    assert adapter.validate_python(json.loads(spec.model_dump_json())) == spec
    assert adapter.validate_python(case.kind) == FIELDS[case.kind]()


def _some(case: Case) -> Values:
    """A few fixed values of a case."""
    known: list[Any] = []

    @settings(max_examples=30, derandomize=True, database=None, deadline=None, suppress_health_check=list(HealthCheck))
    @given(case.values)
    def collect(value: Any) -> None:
        if value is not None and value not in known:
            known.append(value)

    collect()
    return [value for value in known if value not in ("", [])][:6]
