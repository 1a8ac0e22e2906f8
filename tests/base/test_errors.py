"""One line: where and rule. Got. Do."""

import pytest

from ceiba.base.errors import CeibaError, DataError, MissingPackage, Stopped, listed, nearest
from ceiba.base.optional import require


def subclasses(kind: type) -> list[type]:
    return [below for child in kind.__subclasses__() for below in (child, *subclasses(child))]


def test_the_sentence_has_three_parts() -> None:
    error = DataError("column 'age' must be a number", "'n/a'", "Add 'n/a' to data.missing")
    assert str(error) == "column 'age' must be a number. Got 'n/a'. Add 'n/a' to data.missing."
    assert str(error.at("adult.csv row 812,")) == "adult.csv row 812, " + str(error)
    assert type(error.at("x")) is DataError


def test_the_tree_stays_small_and_knows_its_exit_codes() -> None:
    assert len(subclasses(CeibaError)) <= 8
    assert (CeibaError("x").exit_code, DataError("x").exit_code, Stopped("x", exit_code=130).exit_code) == (1, 2, 130)


def test_names_are_listed_five_at_most_and_the_nearest_is_offered() -> None:
    assert listed([]) == ""
    assert listed("abcde") == "a, b, c, d, e"
    assert listed("abcdefg") == "a, b, c, d, e and 2 more"
    assert nearest("chanels", ["channels", "kernel"]) == "Did you mean 'channels'?"
    assert nearest("AGE", ["age"]) == "Did you mean 'age'?"
    assert nearest("zzz", ["a", "b"]) == "Use one of: a, b"


def test_a_missing_package_names_what_installs_it() -> None:
    with pytest.raises(MissingPackage, match=r"pip install 'ceiba\[tune\]'"):
        require("no_such_package_here", "tune", "search")
    assert require("json", "train", "read").loads("1") == 1
