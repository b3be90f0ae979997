"""The arithmetic of rows: medians, ratios, goals, and the document they are written to."""

import json
from pathlib import Path

import jsonschema
import pytest

import grail_framework.bench
from grail_framework.bench.record import Goal, Report, Row, Samples

SCHEMA = json.loads((Path(grail_framework.bench.__file__).parent / "schema.json").read_text())


def row(figure=(3.0, 1.0, 8.0), reference=(2.0, 4.0, 4.0), goal=None, **more):
    other = None if reference is None else Samples(name="theirs", values=reference)
    return Row(unit="ms", figure=Samples(name="ours", values=figure), reference=other, goal=goal, **more)


def test_the_ratio_is_that_of_the_medians_and_its_spread_that_of_the_pairs():
    measured = row()
    assert (measured.figure.median, measured.reference.median) == (3.0, 4.0)
    assert measured.ratio == 0.75
    assert measured.ratio_spread == (0.25, 2.0)


def test_without_pairs_there_is_no_spread_and_without_a_reference_no_ratio():
    assert row(reference=(4.0,)).ratio_spread is None
    assert row(reference=(4.0,)).ratio == 0.75
    alone = row(reference=None)
    assert (alone.ratio, alone.ratio_spread, alone.met) == (None, None, None)


@pytest.mark.parametrize(
    ("goal", "met"),
    [
        (None, None),
        (Goal(bound=0.75), True),
        (Goal(bound=0.74), False),
        (Goal(bound=0.75, at_least=True), True),
        (Goal(bound=0.76, at_least=True), False),
        (Goal(bound=3.0, of_figure=True), True),
        (Goal(bound=2.9, of_figure=True), False),
    ],
)
def test_a_goal_is_about_the_ratio_or_the_figure(goal, met):
    assert row(goal=goal).met is met


def test_a_goal_without_a_reference_is_about_the_figure():
    measured = row(reference=None, goal=Goal(bound=3.0))
    assert measured.met
    assert measured.as_plain()["goal"] == {"at_most": 3.0, "of": "figure"}


def test_nothing_measured_is_refused():
    with pytest.raises(ValueError, match="no value was measured"):
        Samples(name="nothing", values=())


@pytest.mark.parametrize(
    "measured",
    [
        row(),
        row(reference=None, goal=Goal(bound=1.0, at_least=True)),
        row(
            reference=(4.0,), goal=Goal(bound=2.0, of_figure=True), conditions={"num_envs": 4}, details={"phases_s": {"a": 1.0}}
        ),
    ],
)
def test_a_row_survives_json(measured):
    plain = json.loads(json.dumps(measured.as_plain()))
    assert Row.from_plain(plain).as_plain() == measured.as_plain()


def test_the_document_is_what_its_schema_says():
    machine = {"cpu": "x", "cores": "2", "gpu": "none", "python": "3.12", "torch": "2.11", "date": "2026-01-01"}
    report = Report(
        benchmark="env", machine=machine, settings={"num_envs": [4]}, rows=(row(), row(reference=None)), notes=("a",)
    )
    jsonschema.validate(report.as_plain(), SCHEMA)
    broken = report.as_plain()
    del broken["rows"][0]["figure"]["median"]
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(broken, SCHEMA)
