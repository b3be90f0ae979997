"""Hydra's grammar, and what an override does to the tree."""

from __future__ import annotations

import pytest
from config_example import ExampleSection, lift
from hypothesis import example, given, settings
from hypothesis import strategies as st

from grail_framework.config import RunCfg
from grail_framework.config.grammar import parse_overrides
from grail_framework.config.overrides import Edits, leaves
from grail_framework.config.structure import from_plain, to_plain
from grail_framework.errors import ConfigError


def apply(*texts: str) -> RunCfg:
    sections = {"example": ExampleSection}
    tree = to_plain(lift())
    Edits(tree=tree, root=RunCfg, sections=sections).apply(parse_overrides(texts))
    return from_plain(RunCfg, tree, sections=sections)


@pytest.mark.parametrize(
    ("text", "action", "path", "value"),
    [
        ("a.b=1", "set", ("a", "b"), 1),
        ("+a.b=1.5", "add", ("a", "b"), 1.5),
        ("++a.b=-0.13", "force", ("a", "b"), -0.13),
        ("~a.b", "delete", ("a", "b"), None),
        ("a=null", "set", ("a",), None),
        ("a=True", "set", ("a",), True),
        ("a=", "set", ("a",), ""),
        ("a=x y", "set", ("a",), "x y"),
        ("a='it\\'s, so'", "set", ("a",), "it's, so"),
        ("a='null'", "set", ("a",), "null"),
        ("a=../data/x_ha", "set", ("a",), "../data/x_ha"),
        ("a=[1,[x,'y z']]", "set", ("a",), [1, ["x", "y z"]]),
        ("a={b: 1, c: {d: [2]}}", "set", ("a",), {"b": 1, "c": {"d": [2]}}),
        ("+exp=manager/hoi/pnp_table", "add", ("exp",), "manager/hoi/pnp_table"),
        ("+rewards.y.func=plugin:name", "add", ("rewards", "y", "func"), "plugin:name"),
        ("a='${b}'", "set", ("a",), "${b}"),
    ],
)
def test_grammar(text, action, path, value):
    (parsed,) = parse_overrides([text])
    assert (parsed.action, parsed.path, parsed.value, parsed.text) == (action, path, value, text)


def test_nothing_to_parse_imports_nothing():
    assert parse_overrides([]) == []


@pytest.mark.parametrize(
    ("text", "fixed"),
    [
        ("a=~/x", "\"a='~/x'\""),
        ("a=x=y", "\"a='x=y'\""),
        ("a=(x)", "\"a='(x)'\""),
        ("a=^x$", "\"a='^x\\$'\""),
        ("a=it's", "\"a='it\\\\'s'\""),
        ("a=[^x,y]", "\"a=['^x','y']\""),
    ],
)
def test_the_quoted_form_is_offered_and_works(text, fixed):
    with pytest.raises(ConfigError) as caught:
        parse_overrides([text])
    assert fixed in str(caught.value)
    # What the shell makes of it: the outer quotes go, and so does one level of backslashes.
    unquoted = fixed[1:-1].replace("\\\\", "\\").replace("\\$", "$")
    assert parse_overrides([unquoted])[0].path == ("a",)


def test_the_position_is_marked():
    with pytest.raises(ConfigError) as caught:
        parse_overrides(["ab=c^d"])
    lines = str(caught.value).splitlines()
    assert lines[1] == "  ab=c^d"
    assert lines[2] == "      ^"


def test_settings_are_typed_by_their_fields():
    cfg = apply("algorithm.gamma=1", "num_envs=8", "motion.remove_motion_keys=[a]", "project=2026", "scene.object.mass=null")
    assert cfg.algorithm.gamma == 1.0
    assert type(cfg.algorithm.gamma) is float
    assert cfg.num_envs == 8
    assert cfg.motion.remove_motion_keys == ("a",)
    assert cfg.project == "2026"
    assert cfg.scene.object is not None
    assert cfg.scene.object.mass is None


@pytest.mark.parametrize("text", ["~rewards.grasp_right", "rewards.grasp_right=null", "~rewards.grasp_right.func"])
def test_removal(text):
    if text.endswith(".func"):
        with pytest.raises(ConfigError, match="cannot be removed"):
            apply(text)
        return
    assert list(apply(text).rewards) == ["tracking_anchor_pos", "grasp_left"]


def test_removal_with_a_value_needs_that_value():
    assert "x" not in apply("~terminations.anchor_pos.params.threshold=0.25").terminations["anchor_pos"].params
    with pytest.raises(ConfigError, match=r"is 0\.25, not 0\.5"):
        apply("~terminations.anchor_pos.params.threshold=0.5")


def test_optional_sections_are_removed_and_built():
    cfg = apply(
        "~scene.object", "+scene.table.size=[1,1,0.1]", "rewards.grasp_right.gate=null", "+rewards.grasp_left.gate.hand=left"
    )
    assert cfg.scene.object is None
    assert cfg.scene.table is not None
    assert cfg.scene.table.size == (1.0, 1.0, 0.1)
    assert cfg.rewards["grasp_right"].gate is None
    assert cfg.rewards["grasp_left"].gate is not None


@pytest.mark.parametrize(
    "texts",
    [
        ("+rewards.bonus.func=plugin:name", "rewards.bonus.weight=2", "rewards.bonus.params.std=0.1"),
        ("rewards.bonus.weight=2", "rewards.bonus.params.std=0.1", "+rewards.bonus.func=plugin:name"),
        ("++rewards.bonus.func=plugin:name", "++rewards.bonus.weight=2", "++rewards.bonus.params.std=0.1"),
        ("+rewards.bonus={func: 'plugin:name', weight: 2, params: {std: 0.1}}",),
    ],
)
def test_a_new_term_from_several_overrides_in_any_order(texts):
    bonus = apply(*texts).rewards["bonus"]
    assert (bonus.func, bonus.weight, bonus.params) == ("plugin:name", 2.0, {"std": 0.1})


def test_mappings_merge():
    grasp = apply("rewards.grasp_right={weight: 3, params: {min_contacts: 8}}").rewards["grasp_right"]
    assert (grasp.func, grasp.weight) == ("example:grasp", 3.0)
    assert grasp.params == {"sensor": "right_hand", "min_contacts": 8}


def test_a_mapping_with_null_removes_terms():
    assert list(apply("terminations={anchor_pos: null}").terminations) == ["tracking_time_out"]


def test_parameters_are_free_form():
    params = apply("rewards.grasp_right.params.force_threshold=0.2").rewards["grasp_right"].params
    assert params["force_threshold"] == 0.2
    assert apply("network.params.hidden=[64,64]").network.params == {"hidden": (64, 64)}
    assert apply("rewards.grasp_right.params.a.b=null").rewards["grasp_right"].params["a"] == {"b": None}


def test_sections_of_plugins_are_typed():
    assert apply("extra.example.margin=1").extra["example"] == ExampleSection(margin=1.0)


def test_the_last_one_wins():
    assert apply("num_envs=4", "num_envs=8").num_envs == 8


def test_provenance_names_the_override():
    tree = to_plain(lift())
    edits = Edits(tree=tree, root=RunCfg)
    edits.apply(parse_overrides(["rewards.grasp_right={weight: 3}", "~terminations.anchor_pos"]))
    assert edits.provenance["rewards.grasp_right.weight"] == "rewards.grasp_right={weight: 3}"
    assert edits.provenance["terminations.anchor_pos"] == "~terminations.anchor_pos"


def quoted(text: str) -> str:
    # Hydra's quoted strings: backslashes count only in front of a quote or at the end.
    return "'" + text.replace("'", "\\'") + "'"


def write(value: object) -> str:
    """Write a plain value as an override's right-hand side."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return quoted(value)
    if isinstance(value, tuple):
        return "[" + ",".join(map(write, value)) + "]"
    if isinstance(value, dict):
        return "{" + ",".join(f"{key}:{write(item)}" for key, item in value.items()) + "}"
    return repr(value)


texts = st.text(
    alphabet=st.characters(exclude_characters="\\", codec="ascii", categories=("L", "N", "P", "S", "Zs")), max_size=8
)
scalars = st.none() | st.booleans() | st.integers(-(10**9), 10**9) | st.floats(allow_nan=False, allow_infinity=False) | texts
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(st.from_regex(r"[a-z]{1,4}", fullmatch=True), inner, max_size=3)
    ),
    max_leaves=6,
)


@settings(max_examples=50, deadline=None)
@given(values)
@example({"a": ("x", {"b": 1e-5})})
def test_any_value_written_as_an_override_arrives(value):
    term = apply(f"rewards.grasp_left.params.x={write(value)}").rewards["grasp_left"]
    assert term.params["x"] == value
    assert type(term.params["x"]) is type(value)


def test_every_leaf_of_a_configuration_can_be_set_to_what_it_is():
    cfg = lift()
    same = apply(*(f"{path}={write(value)}" for path, value in leaves(to_plain(cfg)) if value != {}))
    assert same == cfg
