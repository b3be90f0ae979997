"""Clips of other formats turned into libraries, against libraries made from the same clips by an independent script."""

import joblib
import numpy as np
import pytest
import trimesh
from pxr import Usd, UsdGeom, UsdPhysics

from grail_framework.assets.meshes import read_mesh
from grail_framework.assets.usd_points import read_raw_points
from grail_framework.assets.usd_writer import write_box_usd
from grail_framework.config.scene import MotionCfg
from grail_framework.errors import AssetError, ConfigError, DataError
from grail_framework.motion.loading import load_library, open_source
from grail_framework.motion.preparation.bps import compute_bps
from grail_framework.motion.preparation.import_clips import ImportOptions, import_clips
from grail_framework.motion.preparation.object_source import ObjectOptions, read_object_source
from grail_framework.motion.readers.csv import CsvReader
from grail_framework.motion.readers.grail import GrailReader
from grail_framework.motion.readers.grail_entries import JOINT_NAMES
from grail_framework.motion.readers.npz import NpzReader

READERS = (GrailReader(), NpzReader(), CsvReader())
POSES = {"root_trans_offset": 1e-4, "pose_aa": 1e-4, "dof": 1e-4, "root_rot": 1e-4}


def bring_in(source, out, robot, *, readers=READERS, on_bad_clip="stop", overwrite=False, **options):
    opened = open_source(MotionCfg(data=str(source)), readers)
    return import_clips(
        opened, source, out, robot, options=ImportOptions(**options), on_bad_clip=on_bad_clip, overwrite=overwrite
    )


def entry(library, part, key):
    return joblib.load(library / part / f"{key}.pkl")[key]


def mesh_of(path):
    """Points, corners of the faces and collision approximation of the one mesh, and whether anything is a rigid body."""
    stage = Usd.Stage.Open(str(path))
    prims = list(stage.Traverse())
    [mesh] = [UsdGeom.Mesh(prim) for prim in prims if prim.IsA(UsdGeom.Mesh)]
    points, corners = np.array(mesh.GetPointsAttr().Get()), np.array(mesh.GetFaceVertexIndicesAttr().Get())
    approximation = UsdPhysics.MeshCollisionAPI(mesh.GetPrim()).GetApproximationAttr().Get()
    return points, corners, approximation, any(prim.HasAPI(UsdPhysics.RigidBodyAPI) for prim in prims)


def loads(out, robot, *, need_object=True):
    return load_library(
        MotionCfg(data=str(out)), robot, device="cpu", need_object=need_object, need_table=False, readers=READERS
    )


@pytest.fixture
def write_npz(tmp_path):
    """Writer of a small clip in holosoma's layout: a robot that stands while a cup beside its right hand rises."""

    def write(stem="cup_0__000", *, frames=30, path=None, **changes):
        state = np.zeros((frames, 36))
        state[:, 2], state[:, 3] = 0.79, 1.0
        up = np.maximum(np.arange(frames) - 10, 0) * 0.01
        values = {
            "fps": np.array([50]),
            "joint_pos": state,
            "joint_names": np.array(JOINT_NAMES),
            "object_pos_w": np.stack([np.full(frames, 0.3), np.full(frames, -0.15), 0.8 + up], axis=-1),
            "object_quat_w": np.tile([1.0, 0, 0, 0], (frames, 1)),
        }
        folder = tmp_path / "clips"
        folder.mkdir(exist_ok=True)
        np.savez(folder / f"{stem}.npz", **{name: value for name, value in (values | changes).items() if value is not None})
        return folder

    return write


@pytest.fixture
def cup(tmp_path):
    path = tmp_path / "cup.obj"
    trimesh.creation.cylinder(radius=4.0, height=12.0).export(path)  # centimetres
    return path


def test_the_real_box_agrees_with_the_library_made_from_it(real_data, g1, tmp_path):
    raw = real_data / "raw" / "holosoma_largebox"
    key = "largebox__carry__000"
    report = bring_in(
        raw / "sub3_largebox_003_mj_w_obj.npz",
        tmp_path / "out",
        g1,
        name=key,
        object_mesh=raw / "largebox.obj",
        object=ObjectOptions(mass=0.1),
    )
    assert report.ok
    assert report.written == (key,)
    given = real_data / "grail" / "largebox_ha"
    ours, theirs = (entry(base, "robot", key) for base in (tmp_path / "out", given))
    assert sorted(ours) == sorted(theirs)
    for name, tolerance in POSES.items():
        np.testing.assert_allclose(ours[name], theirs[name], atol=tolerance, err_msg=name)
    assert ours["fps"] == theirs["fps"] == 50.0
    for hand in ("left", "right"):
        closing = [np.flatnonzero(side[f"hand_action_{hand}"] > 0.0) for side in (ours, theirs)]
        assert abs(closing[0][0] - closing[1][0]) <= 3
    ours, theirs = (entry(base, "objects", key) for base in (tmp_path / "out", given))
    for name in ("root_pos", "root_quat"):
        np.testing.assert_allclose(ours[name], theirs[name], atol=1e-4, err_msg=name)
    for hand in ("left", "right"):
        own, other = (side[f"contact_points_{hand}_hand"] for side in (ours, theirs))
        assert abs(min(own) - min(other)) <= 3
        assert abs(max(own) - max(other)) <= 3
        assert sorted(own) == list(range(min(own), max(own) + 1))
        # Theirs is one point per frame, the hull's closest to a point 10 cm ahead of the wrist, and three beside it.
        gaps = [np.linalg.norm(own[frame].mean(axis=0) - other[frame].mean(axis=0)) for frame in set(own) & set(other)]
        assert max(gaps) < 0.03
    motions = loads(tmp_path / "out", g1)
    assert motions.has_bps.all()
    assert motions.has_contact_labels.all()
    assert motions.has_hand_action.all()


def test_real_stairs_agree_with_the_library_made_from_them(real_data, g1, tmp_path):
    raw, given = real_data / "raw" / "crisp_stairs", real_data / "grail" / "stairs"
    report = bring_in(raw / "motion", tmp_path / "out", g1, terrain=raw / "geometry", object_name="stairs")
    assert report.ok
    assert report.written == ("stair_101", "stair_53", "stair_61")
    for key in report.written:
        ours, theirs = (entry(base, "robot", key) for base in (tmp_path / "out", given))
        assert sorted(ours) == sorted(theirs)  # no hand commands
        for name, tolerance in POSES.items():
            np.testing.assert_allclose(ours[name], theirs[name], atol=tolerance, err_msg=name)
        ours, theirs = (entry(base, "objects", key) for base in (tmp_path / "out", given))
        assert sorted(ours) == sorted(theirs)
        for name in ("root_pos", "root_quat"):
            np.testing.assert_array_equal(ours[name], theirs[name], err_msg=name)
        assert joblib.load(tmp_path / "out" / "meta" / f"{key}.pkl") == joblib.load(given / "meta" / f"{key}.pkl")
        ours, theirs = (mesh_of(base / "object_usd" / f"{key}.usd") for base in (tmp_path / "out", given))
        np.testing.assert_allclose(ours[0], theirs[0], atol=1e-6)
        np.testing.assert_array_equal(ours[1], theirs[1])
        assert ours[2:] == ("none", False)
    assert loads(tmp_path / "out", g1).num_motions == 3


def test_real_tables_of_joints_agree_with_the_library_made_from_them(real_data, g1, tmp_path):
    report = bring_in(real_data / "raw" / "protomotions_g1", tmp_path / "out", g1)
    assert report.ok
    assert len(report.written) == 3
    for key in report.written:
        other = key.removeprefix("output_")
        theirs = entry(real_data / "grail" / "flat", "robot", other)
        ours = entry(tmp_path / "out", "robot", key)
        for name, tolerance in POSES.items():
            np.testing.assert_allclose(ours[name], theirs[name], atol=tolerance, err_msg=name)
        assert ours["fps"] == theirs["fps"]
    assert loads(tmp_path / "out", g1, need_object=False).num_motions == 3


def test_a_clip_with_an_object_and_a_table(write_npz, cup, g1, tmp_path):
    folder = write_npz()
    before = sorted(path.name for path in folder.iterdir())
    out = tmp_path / "out"
    report = bring_in(
        folder,
        out,
        g1,
        object_mesh=cup,
        object=ObjectOptions(scale=0.01, mass=0.3),
        table_size=(1.0, 0.6, 0.04),
        table_pos=(0.5, 0.0, 0.7),
        contact_distance=0.5,
        grasp_anticipation_frames=4,
    )
    assert report.ok
    assert sorted(path.name for path in folder.iterdir()) == before
    obj, robot = entry(out, "objects", "cup_0__000"), entry(out, "robot", "cup_0__000")
    # Above 2 cm from frame 13 on; the right hand is near all the time.
    assert min(obj["contact_points_right_hand"]) == 13
    assert robot["hand_action_right"].tolist() == [-1.0] * 9 + [1.0] * 21
    points = np.concatenate(list(obj["contact_points_right_hand"].values()))
    assert np.abs(points[:, 2]).max() <= 0.06 + 1e-6
    assert np.linalg.norm(points[:, :2], axis=1).max() <= 0.04 + 1e-6
    meta = joblib.load(out / "meta" / "cup_0__000.pkl")
    assert meta["object_name"] == "cup"
    assert meta["table_pos"] == pytest.approx([0.5, 0.0, 0.7])
    assert meta["table_size"] == pytest.approx([1.0, 0.6, 0.04])
    stage = Usd.Stage.Open(str(out / "object_usd" / "cup_0__000.usd"))
    assert UsdPhysics.MassAPI(stage.GetDefaultPrim()).GetMassAttr().Get() == pytest.approx(0.3)
    assert np.ptp(mesh_of(out / "object_usd" / "cup_0__000.usd")[0], axis=0)[2] == pytest.approx(0.12)
    assert sorted(path.name for path in (out / "bps").iterdir()) == ["_basis.npy", "cup_0__000.npy"]
    written = compute_bps(*read_raw_points(out / "object_usd" / "cup_0__000.usd"))
    np.testing.assert_array_equal(np.load(out / "bps" / "cup_0__000.npy"), written)


def test_contacts_from_the_first_touch_or_none_without_a_lift(write_npz, cup, g1, tmp_path):
    options = {"object_mesh": cup, "object": ObjectOptions(scale=0.01), "contact_distance": 0.5}
    folder = write_npz(object_pos_w=np.tile([0.3, -0.15, 0.8], (30, 1)))
    report = bring_in(folder, tmp_path / "lift", g1, **options)
    assert any("never rises by 0.02 m" in note for _, note in report.notes)
    assert entry(tmp_path / "lift", "objects", "cup_0__000")["contact_points_right_hand"] == {}
    assert (entry(tmp_path / "lift", "robot", "cup_0__000")["hand_action_right"] == -1.0).all()
    bring_in(folder, tmp_path / "touch", g1, contact_from_lift=False, **options)
    assert len(entry(tmp_path / "touch", "objects", "cup_0__000")["contact_points_right_hand"]) == 30


def test_objects_are_paired_by_stem(write_npz, cup, g1, tmp_path):
    write_npz("a")
    folder = write_npz("b")
    meshes = tmp_path / "meshes"
    meshes.mkdir()
    write_box_usd(meshes / "a.usd", (0.1, 0.2, 0.3), mass=0.7)
    with pytest.raises(DataError, match=r"no file for the motion 'b'.*\n.*1 motions were written"):
        bring_in(folder, tmp_path / "out", g1, object_mesh=meshes)
    cup.rename(meshes / "b.obj")
    with pytest.raises(ConfigError, match="a USD file is taken as it is"):
        bring_in(folder, tmp_path / "other", g1, object_mesh=meshes, object=ObjectOptions(scale=0.01))
    trimesh.creation.box(extents=(0.1, 0.1, 0.1)).export(meshes / "b.obj")
    bring_in(folder, tmp_path / "out", g1, object_mesh=meshes, overwrite=True)
    assert (tmp_path / "out" / "object_usd" / "a.usd").read_bytes() == (meshes / "a.usd").read_bytes()
    assert loads(tmp_path / "out", g1).object_names == ("a", "b")


def test_an_asset_that_lies_beside_the_clips_comes_along_in_one_piece(write_npz, g1, tmp_path):
    folder = write_npz("a")
    write_box_usd(folder / "parts" / "base.usda", (0.1, 0.2, 0.3), mass=0.7)
    (folder / "object_usd").mkdir()
    (folder / "object_usd" / "a.usda").write_text(
        '#usda 1.0\n(defaultPrim = "Cup")\ndef "Cup" (references = @../parts/base.usda@) {}\n'
    )
    report = bring_in(folder, tmp_path / "out", g1)
    assert report.ok
    assert mesh_of(tmp_path / "out" / "object_usd" / "a.usda")[0].shape == (8, 3)
    assert "references" not in (tmp_path / "out" / "object_usd" / "a.usda").read_text()
    assert loads(tmp_path / "out", g1).num_motions == 1


def test_a_bad_clip_is_reported(write_npz, g1, tmp_path):
    write_npz("good")
    folder = write_npz("torn")
    (folder / "torn.npz").write_bytes((folder / "good.npz").read_bytes()[:500])
    with pytest.raises(DataError, match=r"torn.*\n.*--on-bad-clip skip"):
        bring_in(folder, tmp_path / "a", g1)
    report = bring_in(folder, tmp_path / "b", g1, on_bad_clip="skip")
    assert report.written == ("good",)
    assert [item.key for item in report.skipped] == ["torn"]
    assert not report.ok
    assert any("no object asset" in note for _, note in report.notes)


def test_what_does_not_go_together_is_refused(write_npz, cup, g1, tmp_path):
    write_npz("a")
    folder = write_npz("b", object_pos_w=None, object_quat_w=None)
    with pytest.raises(ConfigError, match="has 2"):
        bring_in(folder, tmp_path / "out", g1, name="c")
    with pytest.raises(ConfigError, match="exclude each other"):
        ImportOptions(object_mesh=cup, terrain=cup)
    with pytest.raises(ConfigError, match="both --table-size and --table-pos"):
        ImportOptions(table_pos=(0.0, 0.0, 1.0))
    with pytest.raises(DataError, match="same folder"):
        bring_in(folder, folder, g1)
    with pytest.raises(DataError, match=r"'b'.*has no object motion, which --object-mesh needs"):
        bring_in(folder, tmp_path / "out", g1, object_mesh=cup, object=ObjectOptions(scale=0.01))


@pytest.mark.parametrize("suffix", [".obj", ".stl", ".ply"])
def test_mesh_files_of_all_kinds_give_one_shape(suffix, tmp_path):
    path = tmp_path / f"box{suffix}"
    trimesh.creation.box(extents=(100.0, 200.0, 300.0)).export(path)
    mesh = read_mesh(path, scale=0.001)
    assert len(mesh.points) == 8
    assert len(mesh.triangles) == 12
    np.testing.assert_allclose(np.ptp(mesh.points, axis=0), [0.1, 0.2, 0.3])


def test_meshes_that_cannot_be_used_are_refused(tmp_path):
    (tmp_path / "points.obj").write_text("v 0 0 0\nv 1 0 0\nv 0 1 0\n")
    (tmp_path / "torn.ply").write_bytes(b"ply\nformat binary_little_endian 1.0\nelement vertex 9\n")
    trimesh.creation.box(extents=(1e5, 1.0, 1.0)).export(tmp_path / "huge.stl")
    for name, message in (
        ("none.obj", "no such file"),
        ("box.step", r"allowed: \.obj, \.stl, \.ply"),
        ("points.obj", "no faces"),
        ("torn.ply", "not a readable mesh|no faces"),
        ("huge.stl", r"1e\+05 m across"),
    ):
        with pytest.raises(AssetError, match=message):
            read_mesh(tmp_path / name)


def test_contacts_are_sought_on_what_is_simulated(tmp_path):
    bowl = trimesh.creation.annulus(r_min=0.08, r_max=0.1, height=0.05)
    bowl.export(tmp_path / "ring.obj")
    inside = np.zeros((1, 3))
    hull = read_object_source(tmp_path / "ring.obj", ObjectOptions())
    pieces = read_object_source(tmp_path / "ring.obj", ObjectOptions(approximation="convexDecomposition"))
    assert hull.surface.closest(inside)[1][0] == pytest.approx(0.025, abs=1e-6)  # the hull's lid
    assert pieces.surface.closest(inside)[1][0] == pytest.approx(0.08, abs=1e-3)  # the ring's inner wall
