"""`grail data pack` and `grail data info`."""

import json

import numpy as np
import pytest
from click.testing import CliRunner

from grail_framework.cli.main import build_cli
from grail_framework.testing.fakes import write_box_library


def grail(*arguments):
    return CliRunner().invoke(build_cli(), ["data", *map(str, arguments)])


@pytest.fixture
def boxes(tmp_path):
    """Two motions of 60 frames with a box."""
    return write_box_library(tmp_path / "boxes")


def test_pack_then_info(boxes):
    packed = grail("pack", boxes)
    assert packed.exit_code == 0, packed.output
    assert f"2 motions, 120 frames in {boxes / 'packed'}" in packed.output
    info = json.loads(grail("info", boxes, "--json").output)
    assert info["motions"] == 2
    assert info["frames"] == 120
    assert info["hours"] == pytest.approx(120 / 50 / 3600)
    assert info["longest"] == ["stand__000", 60]
    assert info["with_object"] == info["with_usd"] == info["with_contact_labels"] == info["with_hand_action"] == 2
    assert info["with_table"] == info["with_bps"] == info["bad"] == 0
    assert info["store"] == "valid"
    # 36 floats, 7 of the object, and a record and a few runs per motion.
    assert 4 * 43 < info["bytes_per_frame"] < 4 * 43 + 10


def test_info_counts_the_same_without_a_store(boxes):
    files = json.loads(grail("info", boxes, "--json").stdout)
    assert files["store"] == "none"
    grail("pack", boxes)
    packed = json.loads(grail("info", boxes, "--json").stdout)
    unlike = ("store", "store_note", "path")
    assert {name: packed[name] for name in packed if name not in unlike} == {n: files[n] for n in files if n not in unlike}


def test_info_of_a_store_elsewhere_and_of_a_stale_one(boxes, tmp_path):
    store = tmp_path / "stores" / "boxes"
    assert grail("pack", boxes, "--out", store).exit_code == 0
    assert not (boxes / "packed").exists()
    assert json.loads(grail("info", store, "--json").output)["store"] == "valid"
    (boxes / "meta" / "stand__000.pkl").unlink()
    stale = json.loads(grail("info", store, "--json").output)
    assert (stale["store"], stale["store_note"]) == ("stale", "meta/stand__000.pkl is gone")
    table = grail("info", store).output
    assert "stale: meta/stand__000.pkl is gone" in table
    assert "120 at 50 fps" in table


def test_a_damaged_store_of_a_library_is_said_and_the_files_are_counted(boxes):
    grail("pack", boxes)
    (boxes / "packed" / "robot.npy").write_bytes(b"")
    info = json.loads(grail("info", boxes, "--json").stdout)
    assert info["store"] == "damaged"
    assert "robot.npy has 0 bytes" in info["store_note"]
    assert info["motions"] == 2


def test_what_cannot_be_used_is_listed(boxes):
    (boxes / "robot" / "stand__000.pkl").write_bytes(b"no pickle")
    packed = grail("pack", boxes)
    assert packed.exit_code == 0
    assert "left out: " in packed.output
    assert "1 motions, 60 frames" in packed.output
    document = json.loads(grail("pack", boxes, "--json").stdout)
    assert [(fault["key"], fault["fatal"]) for fault in document["faults"]] == [("stand__000", True)]
    assert json.loads(grail("info", boxes, "--json").stdout)["bad"] == 1


def test_the_target_rate_decides_the_frames(boxes):
    document = json.loads(grail("pack", boxes, "--target-fps", "25", "--json").stdout)
    assert document["frames"] == 2 * 30
    assert np.load(boxes / "packed" / "robot.npy").shape == (60, 36)
    info = json.loads(grail("info", boxes, "--json").stdout)
    assert (info["store"], info["frames"]) == ("other", 120)
    assert "target_fps" in info["store_note"]


def test_a_folder_without_motions(tmp_path):
    for command in ("pack", "info"):
        result = grail(command, tmp_path)
        assert result.exit_code == 2
        assert "no motion library that a reader recognises" in result.output
