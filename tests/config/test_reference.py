"""The checked-in reference is what the schema says, and every field says what it is."""

from __future__ import annotations

from pathlib import Path

import attrs
import pytest

from grail_framework.config import RunCfg
from grail_framework.config.docs import FieldDoc, field_docs
from grail_framework.config.reference import reachable, reference_page
from grail_framework.config.structure import field_types

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "config.md"
CLASSES = [cls for cls, _ in reachable(RunCfg)]


def test_the_page_is_up_to_date():
    assert PAGE.read_text(encoding="utf-8") == reference_page(), (
        "write it anew: python -m grail_framework.config.reference docs/reference/config.md"
    )


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
def test_every_field_has_a_doc_and_every_number_a_unit(cls):
    docs, types = field_docs(cls), field_types(cls)
    for field in attrs.fields(cls):
        assert docs[field.name].text, field.name
        numeric = types[field.name] in (int, float, int | None, float | None)
        if numeric and cls.__name__ != "UniformNoise":  # its unit is the observation's
            assert docs[field.name].unit, field.name
            assert field.validator is not None, field.name


def test_all_classes_are_reached():
    import grail_framework.config as config

    exported = {getattr(config, name) for name in config.__all__}
    assert exported == set(CLASSES)
    assert dict(reachable(RunCfg))[config.ContactGate] == "rewards.<name>.gate"


def test_docs_of_a_class():
    from config_example import ExampleSection

    assert field_docs(ExampleSection) == {"margin": FieldDoc("How far.", "m"), "names": FieldDoc("Which.", "")}


def test_docs_of_a_class_without_source():
    made = attrs.make_class("Made", {"x": attrs.field(default=1)})
    assert field_docs(made) == {}
