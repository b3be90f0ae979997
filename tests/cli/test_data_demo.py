"""`grail data demo`."""

import numpy as np
import pytest
from click.testing import CliRunner

from grail_framework.cli.main import build_cli
from grail_framework.errors import ConfigError, DataError
from grail_framework.registry import Entry
from grail_framework.runs.demo_library import make_library


@pytest.fixture(scope="module")
def cli():
    return build_cli()


@pytest.fixture
def grail(cli):
    """Run a command line; return its exit code, stdout and stderr."""

    def run(*arguments):
        done = CliRunner().invoke(cli, [str(argument) for argument in arguments])
        return done.exit_code, done.stdout, done.stderr

    return run


def test_a_library_is_made_where_asked_and_read_by_check(grail, tmp_path):
    out = tmp_path / "library"
    code, text, _ = grail("data", "demo", "--task", "motion_tracking", "--out", out, "--motions", 2, "--seed", 5)
    assert code == 0
    assert "motion 1 of 2: squat_wave__000" in text
    assert text.rstrip().endswith(f"2 motions of core:motion_tracking in {out}")
    assert sorted(path.stem for path in (out / "robot").iterdir()) == ["squat_wave__000", "weight_shift__001"]
    assert grail("data", "check", out)[0] == 0
    assert [path.name for path in tmp_path.iterdir()] == ["library"]  # nothing left beside it


def test_without_a_number_the_library_has_its_own(grail, tmp_path):
    code, text, _ = grail("data", "demo", "--task", "core:motion_tracking", "--out", tmp_path / "one")
    assert code == 0
    assert text.splitlines()[-1].startswith("1 motion of")


def test_an_unknown_task_names_those_that_have_a_library(grail, tmp_path):
    code, _, error = grail("data", "demo", "--task", "juggling", "--out", tmp_path / "x")
    assert code == 2
    assert "motion_tracking" in error
    assert "pnp_table" in error


@pytest.mark.parametrize("option", [("--motions", 0), ("--seed", -1)])
def test_numbers_out_of_range_are_refused(grail, tmp_path, option):
    code, _, error = grail("data", "demo", "--task", "motion_tracking", "--out", tmp_path / "x", *option)
    assert code == 2
    assert option[0] in error


def test_a_folder_in_use_needs_overwrite(grail, tmp_path):
    out = tmp_path / "library"
    command = ("data", "demo", "--task", "motion_tracking", "--out", out)
    assert grail(*command)[0] == 0
    (out / "robot" / "old.pkl").write_bytes(b"x")
    code, _, error = grail(*command)
    assert code == 2
    assert "--overwrite" in error
    assert (out / "robot" / "old.pkl").exists()
    assert grail(*command, "--overwrite")[0] == 0
    assert not (out / "robot" / "old.pkl").exists()


def test_overwrite_spares_what_is_no_motion_library(grail, tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    code, _, error = grail("data", "demo", "--task", "motion_tracking", "--out", tmp_path, "--overwrite")
    assert code == 2
    assert "thesis.tex" in error
    assert (tmp_path / "thesis.tex").exists()


def test_a_file_in_the_way_is_named(grail, tmp_path):
    (tmp_path / "file").write_text("")
    code, _, error = grail("data", "demo", "--task", "motion_tracking", "--out", tmp_path / "file", "--overwrite")
    assert code == 2
    assert "is a file" in error


@pytest.mark.parametrize(
    ("size", "message"),
    [("depth=1", "has no 'depth'; it has no numbers to set"), ("depth", "NAME=NUMBER"), ("d=x", "NAME=NUMBER")],
)
def test_sizes_that_a_library_does_not_have_are_refused(grail, tmp_path, size, message):
    code, _, error = grail("data", "demo", "--task", "motion_tracking", "--out", tmp_path / "x", "--set", size)
    assert code == 2
    assert message in " ".join(error.split())
    assert not (tmp_path / "x").exists()


def sized(out, *, motions=1, seed=0, width=1.0, count=2):
    """Write down what was asked for."""
    (out / "robot").mkdir(parents=True)
    (out / "robot" / f"{motions}_{seed}_{width}_{count}.pkl").touch()


def test_sizes_reach_the_library(tmp_path):
    entry = Entry(kind="demo_library", name="lift", plugin="example", target=f"{__name__}:sized")
    make_library(entry, tmp_path / "out", seed=4, sizes={"width": 0.5, "count": 3})
    assert [path.stem for path in (tmp_path / "out" / "robot").iterdir()] == ["1_4_0.5_3"]
    with pytest.raises(ConfigError, match=r"the demo library of example:lift has no 'with'; did you mean 'width'\?"):
        make_library(entry, tmp_path / "other", sizes={"with": 1.0})


def failing(out, *, motions=1, seed=0):
    """Write half a library."""
    (out / "robot").mkdir(parents=True)
    np.save(out / "robot" / "half.npy", np.zeros(motions + seed))
    raise DataError("no grasp was found")


def test_a_library_that_fails_leaves_nothing(tmp_path):
    entry = Entry(kind="demo_library", name="lift", plugin="example", target=f"{__name__}:failing")
    with pytest.raises(DataError, match="no grasp"):
        make_library(entry, tmp_path / "out")
    assert not list(tmp_path.iterdir())
