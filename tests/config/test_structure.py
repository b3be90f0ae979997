"""Plain trees to attrs classes: strict types, exact paths, and back."""

from __future__ import annotations

from typing import Any, Literal

import attrs
import pytest
from config_example import lift
from hypothesis import given, settings
from hypothesis import strategies as st

from grail_framework.config import MotionCfg, PpoCfg, RewardTermCfg, RunCfg, SceneCfg, TableCfg
from grail_framework.config.structure import FieldError, convert, field_types, from_plain, to_plain
from grail_framework.config.validators import between, each, positive
from grail_framework.errors import ConfigError


@attrs.frozen(kw_only=True)
class Inner:
    """Holds one number."""

    size: float = attrs.field(default=1.0, validator=positive())
    """Extent. [m]"""


@attrs.frozen(kw_only=True)
class Outer:
    """One field of each kind."""

    flag: bool = False
    count: int = 0
    ratio: float = attrs.field(default=0.5, validator=between(0.0, 1.0))
    """Part of the whole. [-]"""
    name: str = ""
    maybe: int | None = None
    either: str | tuple[str, ...] = ""
    pair: tuple[int, str] = (0, "")
    many: tuple[float, ...] = attrs.field(default=(), validator=each(positive()))
    choice: Literal["a", "b"] = "a"
    inner: Inner | None = None
    named: dict[str, Inner] = attrs.field(factory=dict)
    free: Any = None


def error_of(tree: Any, cls: type = Outer) -> str:
    with pytest.raises(FieldError) as caught:
        from_plain(cls, tree)
    return str(caught.value)


def test_fields_left_out_keep_their_defaults():
    assert from_plain(Outer, {}) == Outer()


def test_integers_become_floats_and_lists_become_tuples():
    built = from_plain(Outer, {"ratio": 1, "many": [1, 2.5], "pair": [3, "x"], "either": ["a", "b"]})
    assert (built.ratio, type(built.ratio)) == (1.0, float)
    assert built.many == (1.0, 2.5)
    assert built.pair == (3, "x")
    assert built.either == ("a", "b")


def test_nested_classes_and_mappings_of_classes():
    built = from_plain(Outer, {"inner": {"size": 2}, "named": {"left": {}, "right": {"size": 3.0}}})
    assert built.inner == Inner(size=2.0)
    assert built.named == {"left": Inner(), "right": Inner(size=3.0)}


def test_free_values_are_frozen_copies():
    built = from_plain(Outer, {"free": {"a": [1, [2]], "b": None}})
    assert built.free == {"a": (1, (2,)), "b": None}


@pytest.mark.parametrize(
    ("tree", "fragments"),
    [
        ({"flag": 1}, ("flag: ", "1 (int)", "true or false")),
        ({"flag": "true"}, ("'true' (str)", "Write true without quotes")),
        ({"count": True}, ("count: ", "True (bool)", "an integer")),
        ({"count": 2.0}, ("2.0 (float)", "Write 2")),
        ({"count": None}, ("got null", "an integer")),
        ({"ratio": "abc"}, ("'abc' (str)", "a number", "Part of the whole")),
        ({"ratio": True}, ("True (bool)", "a number")),
        ({"ratio": 1.5}, ("ratio: got 1.5", "[0.0, 1.0]")),
        ({"name": 3}, ("3 (int)", "a string", "in quotes, '3'")),
        ({"maybe": "x"}, ("'x' (str)", "an integer or null")),
        ({"either": 3}, ("a string or a list of strings",)),
        ({"either": ["a", 3]}, ("either[1]: ", "3 (int)")),
        ({"pair": [1]}, ("pair: got 1 values", "exactly 2")),
        ({"pair": ["x", "y"]}, ("pair[0]: ", "an integer")),
        ({"many": [1.0, -1.0]}, ("many: ", "-1.0", "each a finite number > 0")),
        ({"many": 2.0}, ("a list of numbers", "Write a list: [2.0]")),
        ({"choice": "c"}, ("'c' (str)", "'a', 'b'")),
        ({"inner": 3}, ("inner: got 3 (int)", "the fields of Inner or null")),
        ({"inner": {"size": -1}}, ("inner.size: got -1.0", "> 0", "[m]", "Extent")),
        ({"inner": {"sise": 1}}, ("inner.sise: ", "did you mean 'size'")),
        ({"named": {"left": {"size": 0}}}, ("named.left.size: ",)),
        ({"named": {1: {}}}, ("named: got the key 1 (int)", "string keys")),
        ({"cuont": 1}, ("cuont: Outer has no such field", "did you mean 'count'")),
        ({"free": object()}, ("free: ", "plain values")),
        ([1], ("got [1] (list)", "the fields of Outer")),
    ],
)
def test_what_does_not_fit_is_named_with_its_path(tree, fragments):
    message = error_of(tree)
    for fragment in fragments:
        assert fragment in message


def test_missing_fields_are_all_named():
    message = error_of({}, RewardTermCfg)
    assert "func (a string), weight (a number)" in message


def test_a_class_with_its_own_check_keeps_the_path():
    @attrs.frozen(kw_only=True)
    class Pair:
        low: float
        high: float

        def __attrs_post_init__(self) -> None:
            if self.low > self.high:
                raise ValueError("low is above high")

    with pytest.raises(FieldError, match=r"^a\.b: low is above high$"):
        from_plain(Pair, {"low": 2, "high": 1}, path="a.b")


def test_attrs_own_validators_are_understood():
    @attrs.frozen(kw_only=True)
    class Bounded:
        size: int = attrs.field(default=1, validator=attrs.validators.ge(1))

    with pytest.raises(FieldError, match=r"^a\.size: "):
        from_plain(Bounded, {"size": 0}, path="a")


def test_annotation_that_cannot_be_resolved_names_the_class():
    @attrs.frozen(kw_only=True)
    class Broken:
        size: Missing = 1  # noqa: F821

    with pytest.raises(ConfigError, match=r"Broken cannot be resolved.*Missing.*TYPE_CHECKING"):
        field_types(Broken)


def test_sections_are_typed_by_their_classes():
    tree = to_plain(lift())
    assert isinstance(from_plain(RunCfg, tree).extra["example"], dict)
    built = from_plain(RunCfg, tree, sections={"example": type(lift().extra["example"])})
    assert built.extra == lift().extra


def test_a_whole_task_survives_the_round_trip():
    cfg = attrs.evolve(lift(), extra={})
    assert from_plain(RunCfg, to_plain(cfg)) == cfg


finite = st.floats(allow_nan=False, allow_infinity=False)
names = st.text(max_size=8)
plain = st.recursive(
    st.none() | st.booleans() | st.integers() | finite | names,
    lambda inner: st.lists(inner, max_size=3).map(tuple) | st.dictionaries(names, inner, max_size=3),
    max_leaves=8,
)
inners = st.builds(Inner, size=st.floats(min_value=1e-9, allow_infinity=False, exclude_min=False))
outers = st.builds(
    Outer,
    flag=st.booleans(),
    count=st.integers(),
    ratio=st.floats(0.0, 1.0),
    name=names,
    maybe=st.none() | st.integers(),
    either=names | st.lists(names, max_size=3).map(tuple),
    pair=st.tuples(st.integers(), names),
    many=st.lists(st.floats(min_value=1e-9, allow_infinity=False), max_size=3).map(tuple),
    choice=st.sampled_from(["a", "b"]),
    inner=st.none() | inners,
    named=st.dictionaries(names, inners, max_size=3),
    free=plain,
)


@settings(max_examples=50, deadline=None)
@given(outers)
def test_any_configuration_survives_the_round_trip(cfg):
    assert from_plain(Outer, to_plain(cfg)) == cfg


@settings(max_examples=50, deadline=None)
@given(plain)
def test_any_plain_value_is_kept_by_a_free_field(value):
    assert convert(Any, value, "x") == value


@pytest.mark.parametrize(
    ("cls", "tree"), [(PpoCfg, {"gamma": 2}), (TableCfg, {"size": [1]}), (SceneCfg, {"table": 1}), (MotionCfg, {"data": 1})]
)
def test_errors_of_the_real_schema_are_config_errors(cls, tree):
    with pytest.raises(ConfigError) as caught:
        from_plain(cls, tree)
    assert caught.value.exit_code == 2
