from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import pytest

from ensemble_mammo.records.fields import FieldProblems, from_mapping, to_mapping


@dataclass(frozen=True)
class Inner:
    rate: float
    name: str = "x"

    def __post_init__(self) -> None:
        if self.rate < 0:
            raise ValueError(f"rate is {self.rate}, expected 0 or more")


@dataclass(frozen=True)
class Outer:
    count: int
    inner: Inner
    parts: tuple[Inner, ...] = ()
    which: int | str = 0
    maybe: float | None = None
    flag: bool = False
    extra: Mapping[str, str] = field(default_factory=dict)


GOOD = {"count": 1, "inner": {"rate": 0.5}}


def problems_of(table: Mapping[str, object]) -> list[str]:
    with pytest.raises(FieldProblems) as caught:
        from_mapping(Outer, table)
    return caught.value.problems


def test_a_mapping_goes_into_a_dataclass_and_back():
    value = Outer(3, Inner(0.5, "y"), (Inner(1.0), Inner(2.0)), "HARDER", 1.5, True, {"a": "b"})
    assert from_mapping(Outer, to_mapping(value)) == value
    assert from_mapping(Outer, GOOD) == Outer(1, Inner(0.5))


def test_a_whole_number_is_taken_for_a_float_but_no_truth_value_for_a_number():
    assert from_mapping(Outer, {"count": 1, "inner": {"rate": 1}}).inner.rate == 1.0
    assert problems_of(GOOD | {"count": True}) == ["count is True, expected int"]
    assert problems_of(GOOD | {"inner": {"rate": False}}) == ["inner.rate is False, expected float"]


def test_an_unknown_key_is_named_with_the_nearest_one():
    assert problems_of(GOOD | {"inner": {"rate": 1.0, "nam": "z"}}) == [
        "unknown key 'inner.nam'; did you mean 'inner.name'?"
    ]
    assert problems_of(GOOD | {"zzz": 1})[0].startswith("unknown key 'zzz'; known keys: count, inner,")


def test_all_problems_are_named_at_once():
    found = problems_of({"inner": {"rate": -1.0}, "parts": [{"rate": "fast"}], "which": 1.5, "flag": 1, "maybe": "no"})
    assert found == [
        "inner: rate is -1.0, expected 0 or more",
        "parts[0].rate is 'fast', expected float",
        "which is 1.5, expected int or str",
        "flag is 1, expected bool",
        "maybe is 'no', expected float",
        "key 'count' is missing",
    ]


@pytest.mark.parametrize("wrong", [{"inner": 3}, {"parts": "none"}, {"parts": [3]}, {"extra": 3}])
def test_a_table_or_list_is_wanted_where_there_is_one(wrong):
    assert "expected a" in problems_of(GOOD | wrong)[0]
