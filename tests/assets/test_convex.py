from __future__ import annotations

import logging
import re
import subprocess

import numpy as np
import pytest
import trimesh

from grail_framework.assets import decompose as splitting
from grail_framework.assets.convex import convex_hull, convex_pieces
from grail_framework.assets.decompose import decompose
from grail_framework.assets.triangles import how_far_beyond
from grail_framework.errors import AssetError

from .solids import arrays, ell, mug, torus, union_volume


@pytest.fixture
def quick(monkeypatch):
    """Settings that split simple shapes faster still; with less the cuts are bad, many, and dear to merge."""
    monkeypatch.setitem(splitting.SETTINGS, "mcts_iterations", 40)
    monkeypatch.setitem(splitting.SETTINGS, "resolution", 500)


def together(*meshes):
    return arrays(trimesh.util.concatenate(list(meshes)))


def shifted(mesh, *offset):
    mesh.apply_translation(offset)
    return mesh


def no_child(*_arguments, **_settings):
    raise AssertionError("a child process was started")


def check_pieces(mesh, shape, most):
    """Few pieces that cover the mesh, stick out no further than CoACD's threshold, and weigh what the mesh weighs."""
    assert 1 < len(shape.pieces) <= most
    assert 0.98 * mesh.volume <= union_volume(shape.pieces) <= 1.2 * mesh.volume
    reach = float(re.search(r"([\d.]+) mm beyond", shape.notes[0]).group(1)) * 1e-3
    hulls = [trimesh.convex.convex_hull(piece.vertices) for piece in shape.pieces]
    assert how_far_beyond([arrays(hull) for hull in hulls], *arrays(mesh)) == pytest.approx(reach, abs=1e-3)
    assert reach <= splitting.SETTINGS["threshold"] * np.ptp(mesh.vertices, axis=0).max() / 2.0 + 1e-3
    assert shape.solid.volume == pytest.approx(mesh.volume)
    np.testing.assert_allclose(shape.solid.com, mesh.center_mass, atol=1e-9)
    np.testing.assert_allclose(shape.solid.inertia, mesh.moment_inertia, atol=1e-9 * mesh.moment_inertia.max())


def test_an_ell_becomes_two_boxes():
    shape = convex_pieces(*arrays(ell()))
    check_pieces(ell(), shape, 3)
    assert union_volume(shape.pieces) == pytest.approx(ell().volume, rel=0.01)


@pytest.mark.slow
@pytest.mark.parametrize("make", [mug, torus], ids=["mug", "torus"])
def test_a_hollow_or_ringed_mesh_keeps_its_hollow(make):
    shape = convex_pieces(*arrays(make()), max_pieces=24)
    check_pieces(make(), shape, 24)
    middle = np.array([[0.0, 0.0, 0.05]]) if make is mug else np.zeros((1, 3))
    for piece in shape.pieces:
        hull = trimesh.convex.convex_hull(piece.vertices)
        planes = hull.face_normals @ middle[0] - np.einsum("ij,ij->i", hull.face_normals, hull.triangles[:, 0])
        assert planes.max() > 5e-3  # nothing fills the hole


def test_convex_meshes_are_one_exact_piece_and_start_no_process(monkeypatch):
    monkeypatch.setattr(subprocess, "run", no_child)
    ball = trimesh.creation.icosphere(2, 0.1)
    shape = convex_pieces(*arrays(ball))
    assert shape.notes == ()
    (piece,) = shape.pieces
    assert piece.volume == pytest.approx(ball.volume, rel=1e-6)
    assert len(piece.vertices) == len(ball.vertices)


def test_separate_convex_parts_are_a_piece_each(monkeypatch):
    monkeypatch.setattr(subprocess, "run", no_child)
    steps = [shifted(trimesh.creation.box((0.3, 1.0, 0.15)), 0.3 * k, 0.0, 0.15 * k) for k in range(5)]
    shape = convex_pieces(*together(*steps), merge=False)
    assert len(shape.pieces) == 5
    assert shape.solid.volume == pytest.approx(5 * 0.045)
    with pytest.raises(AssetError, match=r"5 separate parts.*4 pieces are allowed; set scene\.object\.max_pieces=5"):
        convex_pieces(*together(*steps), max_pieces=4, merge=False)


def test_a_part_inside_another_one_is_a_hollow_or_counts_once(monkeypatch):
    monkeypatch.setattr(subprocess, "run", no_child)
    outer, inner = trimesh.creation.box((0.4, 0.4, 0.4)), trimesh.creation.box((0.2, 0.2, 0.2))
    inner.invert()
    shape = convex_pieces(*together(outer, inner))
    assert len(shape.pieces) == 1
    assert shape.solid.volume == pytest.approx(0.4**3 - 0.2**3)
    apart = trimesh.creation.box((0.2, 0.2, 0.2))
    apart.invert()  # turned inside out, but a solid of its own
    shape = convex_pieces(*together(outer, shifted(apart, 1.0, 0.0, 0.0)))
    assert len(shape.pieces) == 2
    assert shape.solid.volume == pytest.approx(0.4**3 + 0.2**3)


def test_no_more_pieces_than_allowed(quick):
    cross = together(*(trimesh.creation.box(extents) for extents in ((0.3, 0.05, 0.05), (0.05, 0.3, 0.05), (0.05, 0.05, 0.3))))
    assert len(convex_pieces(*cross).pieces) == 3
    assert len(convex_pieces(*cross, max_pieces=2).pieces) <= 2
    assert len(convex_pieces(*arrays(ell()), max_pieces=1).pieces) == 1


@pytest.mark.slow
def test_an_open_surface_weighs_what_its_pieces_weigh(monkeypatch, quick):
    monkeypatch.setitem(splitting.SETTINGS, "preprocess_resolution", 20)  # splitting a shell takes long
    points = np.array([(x, y, z) for x in (-0.1, 0.1) for y in (-0.1, 0.1) for z in (-0.1, 0.1)])
    quads = [(0, 4, 6, 2), (0, 1, 5, 4), (2, 6, 7, 3), (0, 2, 3, 1), (4, 5, 7, 6)]  # no lid
    faces = np.array([triangle for a, b, c, d in quads for triangle in ((a, b, c), (a, c, d))])
    shape = convex_pieces(points, faces)
    assert any("the surface is open" in note for note in shape.notes)
    assert len(shape.pieces) > 1
    assert 0.0 < shape.solid.volume < 0.5 * 0.2**3
    back_to_back = convex_pieces(points, np.concatenate((faces, faces[:, ::-1])))
    assert len(back_to_back.pieces) == len(shape.pieces)


def test_points_in_a_plane_are_refused():
    with pytest.raises(AssetError, match="no convex hull with a volume"):
        convex_hull(np.array([(0, 0, 0), (1, 0, 0), (0, 1, 0), (1, 1, 0)]))
    with pytest.raises(AssetError, match="no convex hull with a volume"):
        convex_pieces(np.eye(3), np.array([[0, 1, 2]]))


# ---- the cache


def test_a_mesh_is_split_once(tmp_path, monkeypatch, caplog, capfd, quick):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    first = decompose(*arrays(ell()), 16)
    (entry,) = (tmp_path / "grail_framework" / "convex").iterdir()
    captured = capfd.readouterr()
    assert captured.out == captured.err == ""
    with monkeypatch.context() as offline:
        offline.setattr(subprocess, "run", no_child)
        second = decompose(*arrays(ell()), 16)
    assert [piece.tobytes() for piece in first.pieces] == [piece.tobytes() for piece in second.pieces]
    assert first.reach == second.reach
    entry.write_bytes(entry.read_bytes()[:-40])
    again = decompose(*arrays(ell()), 16)
    assert any("is damaged" in record.message and record.levelno == logging.WARNING for record in caplog.records)
    # Computed anew, it is the same to the bit.
    assert [piece.tobytes() for piece in again.pieces] == [piece.tobytes() for piece in first.pieces]
    assert [path.name for path in entry.parent.iterdir()] == [entry.name]


def test_settings_and_shape_are_part_of_the_name(tmp_path, monkeypatch, quick):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    vertices, faces = arrays(ell())
    decompose(vertices, faces, 16)
    decompose(vertices, faces, 3)
    decompose(0.5 * vertices, faces, 3)
    monkeypatch.setitem(splitting.SETTINGS, "seed", 1)
    decompose(vertices, faces, 3)
    assert len(list((tmp_path / "grail_framework" / "convex").iterdir())) == 4


def test_a_cache_that_cannot_be_written_is_said_and_does_no_harm(tmp_path, monkeypatch, caplog, quick):
    (tmp_path / "grail_framework").write_text("a file where the folder should be")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with caplog.at_level(logging.WARNING):
        assert len(decompose(*arrays(ell()), 16).pieces) > 1
    assert "computed again next time" in caplog.text


# ---- when CoACD fails


def test_an_endless_run_is_ended():
    vertices, faces = arrays(torus())
    with pytest.raises(AssetError, match=r"CoACD did not split the mesh \(576 faces\) within 0\.2 s; simplify it"):
        decompose(vertices, faces, 7, time_limit=0.2)


def test_a_failing_run_is_an_error(monkeypatch):
    monkeypatch.setitem(splitting.SETTINGS, "no_such_setting", 1)
    with pytest.raises(AssetError, match=r"CoACD failed on the mesh \(20 faces, exit status 1: TypeError"):
        decompose(*arrays(ell()), 9)
