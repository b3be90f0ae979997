"""config.yaml loads back equal."""

from __future__ import annotations

import attrs
import pytest
import yaml
from config_example import ExampleSection, lift
from hypothesis import given, settings
from hypothesis import strategies as st

from grail_framework.config.compose import compose, section_classes
from grail_framework.config.files import from_yaml, load_config, to_yaml
from grail_framework.config.structure import to_plain
from grail_framework.errors import ConfigError

SECTIONS = {"example": ExampleSection}


def test_round_trip_of_a_composed_run(registry, tmp_path):
    overrides = [
        "project=null_",
        "algorithm.learning_rate=2e-5",
        "+rewards.new={func: a, weight: -1e-9}",
        "wandb.wandb_entity='no'",
    ]
    cfg = compose(registry, task="lift", overrides=overrides).cfg
    path = tmp_path / "config.yaml"
    path.write_text(to_yaml(cfg), encoding="utf-8")
    assert load_config(path, sections=section_classes(registry)) == cfg


def test_fields_are_in_the_order_of_the_schema_and_lists_on_one_line():
    text = to_yaml(lift())
    assert list(yaml.safe_load(text)) == [field.name for field in attrs.fields(type(lift()))]
    assert "links: [right_.*]" in text


def test_any_yaml_reader_understands_it():
    plain = to_plain(lift())
    loaded = yaml.safe_load(to_yaml(lift()))
    assert loaded["algorithm"]["learning_rate"] == plain["algorithm"]["learning_rate"] == 2e-5
    assert loaded["scene"]["object"]["mass"] == 0.1


@pytest.mark.parametrize("text", ["1e-4", "1E-4", "+1.e5", ".5e3", "-2e+7"])
def test_numbers_written_by_hand(text):
    edited = to_yaml(lift()).replace("max_grad_norm: 0.1", f"max_grad_norm: {text}")
    if text.startswith("-"):
        with pytest.raises(ConfigError, match="> 0"):
            from_yaml(edited, sections=SECTIONS)
    else:
        assert from_yaml(edited, sections=SECTIONS).algorithm.max_grad_norm == float(text)


@settings(max_examples=25, deadline=None)
@given(
    st.dictionaries(
        st.text(max_size=5),
        st.none()
        | st.booleans()
        | st.integers()
        | st.floats(allow_nan=False)
        | st.text(max_size=6)
        | st.lists(st.text(max_size=4), max_size=2),
        max_size=4,
    )
)
def test_any_parameter_survives(params):
    cfg = lift()
    params = {key: tuple(value) if isinstance(value, list) else value for key, value in params.items()}
    cfg = attrs.evolve(cfg, action=attrs.evolve(cfg.action, params=params))
    assert from_yaml(to_yaml(cfg), sections=SECTIONS) == cfg


@pytest.mark.parametrize(
    ("text", "fragments"),
    [
        ("a: [", ("run.yaml", "not readable as YAML")),
        ("- 1", ("run.yaml", "list", "a mapping")),
        ("task: x\nrewrads: {}", ("run.yaml", "rewrads", "did you mean 'rewards'")),
        ("task: x", ("run.yaml", "needs action", "observations")),
    ],
)
def test_what_is_wrong_is_said_with_the_files_name(text, fragments):
    with pytest.raises(ConfigError) as caught:
        from_yaml(text, source="run.yaml")
    for fragment in fragments:
        assert fragment in str(caught.value)


def test_a_missing_file(tmp_path):
    with pytest.raises(ConfigError, match=r"config\.yaml: cannot be read"):
        load_config(tmp_path / "config.yaml")
