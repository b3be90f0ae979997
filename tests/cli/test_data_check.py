"""`grail data check`."""

import json

import attrs
import joblib
import numpy as np
import pytest
import torch
from click.testing import CliRunner

from grail_framework import hookimpl
from grail_framework.cli.main import build_cli
from grail_framework.motion.clip import ContactLabels
from grail_framework.motion.faults import ClipFault
from grail_framework.motion.safe_pickle import load_safe
from grail_framework.plugins.manager import GrailPluginManager
from grail_framework.testing.fakes import write_box_library


def grail(*arguments):
    return CliRunner().invoke(build_cli(), ["data", "check", *map(str, arguments)])


KEYS = ("stand__000", "stand__001")


@pytest.fixture
def boxes(tmp_path):
    """Two good motions with a box."""
    folder = write_box_library(tmp_path / "boxes", KEYS)
    (folder / "bps").mkdir()
    for key in KEYS:
        np.save(folder / "bps" / f"{key}.npy", np.ones(10, dtype=np.float32))
    return folder


def without_contact(boxes, keys):
    for key in keys:
        path = boxes / "objects" / f"{key}.pkl"
        entry = load_safe(path)[key]
        joblib.dump({key: {name: value for name, value in entry.items() if "contact" not in name}}, path)


def findings(*arguments):
    """Return exit code, number of usable motions, and (motion, file, severity, reason) of everything that was found."""
    result = grail(*arguments, "--json")
    document = json.loads(result.stdout)
    names = ("motion", "file", "severity", "reason")
    return result.exit_code, document["usable"], [tuple(item[name] for name in names) for item in document["findings"]]


def change(boxes, part, **values):
    path = boxes / part / "stand__000.pkl"
    content = load_safe(path)
    joblib.dump({"stand__000": content["stand__000"] | values}, path)


def test_a_good_library_is_all_well(boxes):
    result = grail(boxes, "--task", "pnp_ground", "--strict")
    assert result.exit_code == 0, result.output
    assert result.stdout == (
        f"{boxes} (grail): 2 of 2 motions can be used, as pnp_ground needs them, 120 frames; 0 faults, 0 warnings\n"
    )
    assert result.stderr == "checked 2/2\n"


def test_a_fault_is_a_row_of_the_table_and_the_exit_code(boxes):
    root = np.array(load_safe(boxes / "robot" / "stand__000.pkl")["stand__000"]["root_trans_offset"])
    root[7, 1] = np.nan
    change(boxes, "robot", root_trans_offset=root)
    result = grail(boxes)
    assert result.exit_code == 1
    row = next(line for line in result.stdout.splitlines() if line.startswith("stand__000"))
    assert row.split()[:4] == ["stand__000", "robot/stand__000.pkl", "7", "fault"]
    assert "'root_trans_offset' holds NaN or infinity" in row
    assert "1 of 2 motions can be used" in result.stdout
    assert "1 faults, 0 warnings" in result.stdout


def test_a_warning_is_shown_and_counts_with_strict_only(boxes):
    change(boxes, "objects", fps=29.0)
    assert grail(boxes).exit_code == 0
    result = grail(boxes, "--strict")
    assert result.exit_code == 1
    assert "warning" in result.stdout


def test_json_is_one_document_with_the_same(boxes):
    (boxes / "object_usd" / "stand__000.usd").write_bytes(b"#usda 1.0\nnonsense")
    result = grail(boxes, "--task", "pnp_ground", "--json")
    assert result.exit_code == 1
    assert result.stderr == ""
    document = json.loads(result.stdout)
    (finding,) = document.pop("findings")
    assert document == {
        "folder": str(boxes),
        "reader": "grail",
        "robot": "g1_43dof",
        "task": "pnp_ground",
        "motions": 2,
        "usable": 1,
        "frames": 120,
        "faults": 1,
        "warnings": 0,
        "ok": False,
    }
    assert set(finding) == {"motion", "file", "frame", "severity", "reason"}
    assert finding["motion"] == "stand__000"
    assert finding["file"] == str(boxes / "object_usd" / "stand__000.usd")
    assert (finding["frame"], finding["severity"]) == (None, "fault")


def test_a_task_asks_for_more(boxes):
    result = grail(boxes, "--task", "pnp_table")
    assert result.exit_code == 1
    assert "Meta pkl missing required keys 'table_pos' and/or 'table_quat'" in result.stdout
    assert "0 of 2 motions can be used, as pnp_table needs them" in result.stdout


def test_contact_labels_that_a_gate_waits_for_are_a_fault_of_each_motion_without(tmp_path):
    boxes = write_box_library(tmp_path / "lib", KEYS, table=True)
    without_contact(boxes, ["stand__001"])
    code, usable, found = findings(boxes, "--task", "pnp_table")
    assert (code, usable) == (1, 1)
    ((motion, file, _, reason),) = [item for item in found if item[2] == "fault"]
    assert (motion, file) == ("stand__001", str(boxes / "objects" / "stand__001.pkl"))
    assert reason.startswith(
        "reward_grasp: gate_with_contact_label=True but no contact label found. Expected object motion data"
    )
    assert "Reward: rewards.grasp_right. Prepare the library" in reason
    assert findings(boxes)[0] == 0  # without a task nobody asks for them


def test_contact_labels_that_no_motion_has(boxes):
    without_contact(boxes, KEYS)
    code, usable, found = findings(boxes, "--task", "pnp_ground")
    assert (code, usable, [item[0] for item in found]) == (1, 0, list(KEYS))
    for *_, severity, reason in found:
        assert severity == "fault"
        assert reason.startswith(
            "sample_before_contact=True but no contact data available. The object motions pkl must contain"
        )


def test_what_a_run_warns_of_is_a_warning(boxes):
    without_contact(boxes, ["stand__000"])
    (boxes / "bps" / "stand__001.npy").unlink()
    assert grail(boxes, "--task", "pnp_ground").exit_code == 0
    code, usable, found = findings(boxes, "--task", "pnp_ground", "--strict")
    assert (code, usable, {item[2] for item in found}) == (1, 2, {"warning"})
    said = [(motion, reason) for motion, _, _, reason in found if "of 2 motions" in reason]
    assert [motion for motion, _ in said] == ["stand__000", "stand__001"]
    assert "1 of 2 motions are missing contact data in their object motions pkl" in said[0][1]
    assert "1 of 2 motions have no basis point set; their BPS obs will be 10 zeros" in said[1][1]


def test_motions_with_faults_of_their_own_are_not_asked_again(boxes):
    (boxes / "robot" / "stand__000.pkl").write_bytes(b"")
    without_contact(boxes, ["stand__000"])
    code, usable, found = findings(boxes, "--task", "pnp_ground")
    assert (code, usable, len(found)) == (1, 1, 1)
    assert findings(boxes, "--task", "pnp_ground", "--only", "stand__000")[1:] == (0, found)


def test_plugins_are_asked_as_a_run_asks_them(boxes):
    """What they find fault with, which contact labels they know, and what they change of a run."""

    class Labels:
        @hookimpl
        def grail_contact_labels(self, motion, num_frames):
            return ContactLabels(label=np.ones((num_frames, 2)), center=np.zeros((num_frames, 2, 3)))

    class Check:
        @hookimpl
        def grail_check_motions(self, cfg, motions):
            key = motions.keys[1]
            height = float(motions.frame(torch.tensor([1]), torch.tensor([0])).root_pos[0, 2])
            return [ClipFault(path=motions.object_usd[1], key=key, reason=f"{cfg.task} at {height:.2f} m")]

    class Configure:
        @hookimpl
        def grail_configure_run(self, cfg):
            return attrs.evolve(cfg, command=attrs.evolve(cfg.command, sample_before_contact=False))

    without_contact(boxes, KEYS)
    for plugin in (Labels(), Configure()):
        manager = GrailPluginManager()
        manager.register(plugin, "inline")
        assert CliRunner().invoke(build_cli(manager), ["data", "check", str(boxes), "--task", "pnp_ground"]).exit_code == 0
    manager.register(Check(), "check")
    result = CliRunner().invoke(build_cli(manager), ["data", "check", str(boxes), "--task", "pnp_ground"])
    assert result.exit_code == 1
    assert "hoi:pnp_ground at 0.76 m" in result.stdout
    assert "1 of 2 motions can be used" in result.stdout


def test_motions_may_be_named(boxes):
    (boxes / "robot" / "stand__000.pkl").write_bytes(b"")
    assert grail(boxes, "--only", "stand__001").exit_code == 0
    assert grail(boxes, "--only", ".*0").exit_code == 1
    result = grail(boxes, "--only", "sit")
    assert result.exit_code == 2
    assert "'sit' matches no motion" in result.stderr


def test_other_layouts_are_checked_with_what_is_said_about_them(tmp_path):
    rows = np.zeros((20, 36))
    rows[:, 2], rows[:, 6] = 0.78, 1.0  # ahead in xyzw, back in wxyz: the order does not show
    np.savetxt(tmp_path / "still.csv", rows, delimiter=",")
    result = grail(tmp_path)
    assert result.exit_code == 1
    assert "motion.quat_order=wxyz or xyzw" in result.stdout
    result = grail(tmp_path, "--quat-order", "xyzw", "--fps", "30", "--strict")
    assert result.exit_code == 0, result.output
    assert "(csv): 1 of 1 motions" in result.stdout


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda folder: folder / "nowhere", "does not exist"),
        (lambda folder: folder, "no motion library that a reader recognises"),
        (lambda folder: (folder / "a.txt").write_text("") or folder / "a.txt", "no motion library that a reader recognises"),
    ],
    ids=["missing", "empty", "a file"],
)
def test_what_is_no_library_is_a_usage_error(tmp_path, make, said):
    result = grail(make(tmp_path))
    assert result.exit_code == 2
    assert said in result.stderr
    assert result.stdout == ""


def test_an_unknown_task_is_a_usage_error(boxes):
    result = grail(boxes, "--task", "pnp_tabel")
    assert result.exit_code == 2
    assert "pnp_table" in result.stderr
