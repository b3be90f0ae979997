"""The height map against geometry done by hand, and against trimesh on a real staircase."""

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pxr.Usd
import pytest
import torch
import trimesh
from scipy.spatial.transform import Rotation

from grail_framework.assets.usd_writer import write_box_usd, write_object_usd
from grail_framework.errors import AssetError, ConfigError
from grail_framework.motion.safe_pickle import load_safe
from grail_framework.testing import assert_term_contract
from grail_terrain.mdp.height_map import height_map_z_flat

STAIRS = Path(os.environ.get("GRAIL_TEST_DATA", Path(__file__).resolve().parents[4] / "shared" / "data")) / "grail" / "stairs"
GRID = np.linspace(-0.75, 0.75, 11)
X, Y = (axis.ravel() for axis in np.meshgrid(GRID, GRID, indexing="ij"))
FAN = np.stack((X, Y, -np.ones(121)), axis=1) / np.sqrt(X**2 + Y**2 + 1.0)[:, None]
BOX = (0.4, 0.6, 0.5)


@pytest.fixture(params=["cpu", pytest.param("cuda:0", marks=pytest.mark.gpu)])
def device(request):
    return torch.device(request.param)


def quats(rotations):
    return torch.tensor(rotations.as_quat(scalar_first=True), dtype=torch.float32)


def scene(files, root, turn=None, placed=None, placed_turn=None, device="cpu", num_threads=1):
    """An environment per root position (N, 3), which all terms read; environment k has file k."""
    root = torch.tensor(np.asarray(root, dtype=np.float32).reshape(-1, 3), device=device)
    n = len(root)

    def pose(pos, rotation):
        pos = np.zeros((n, 3)) if pos is None else np.broadcast_to(pos, (n, 3))
        quat = Rotation.identity(n) if rotation is None else rotation
        return torch.tensor(np.array(pos), dtype=torch.float32, device=device), quats(quat).reshape(n, 4).to(device)

    placed_pos, placed_quat = pose(placed, placed_turn)
    files = [str(file) for file in files]
    distinct = list(dict.fromkeys(files))
    spec = SimpleNamespace(
        objects=tuple(SimpleNamespace(path=file) for file in distinct),
        env_object=tuple(distinct.index(file) for file in files),
        num_threads=num_threads,
    )
    return SimpleNamespace(
        num_envs=n,
        device=torch.device(device),
        engine=SimpleNamespace(spec=spec),
        state=SimpleNamespace(root_pos_w=root, root_quat_w=pose(None, turn)[1]),
        reference=SimpleNamespace(object_pos_w=placed_pos, object_quat_w=placed_quat),
    )


def heights(env, **params):
    return height_map_z_flat(env, **params)(env).cpu().numpy()


def turned(vectors, angle):
    return Rotation.from_euler("z", angle).apply(vectors)


def into_box(origin, rays, low, high):
    """Distance at which each ray enters a box, nan where it does not: the method of slabs."""
    with np.errstate(divide="ignore"):
        first, second = (low - origin) / rays, (high - origin) / rays
    near, far = np.minimum(first, second).max(axis=1), np.maximum(first, second).min(axis=1)
    return np.where((near <= far) & (near >= 0.0), near, np.nan)


@pytest.fixture(scope="module")
def plane(tmp_path_factory):
    corners = np.array([[x, y, 0.0] for x in (-9.0, 9.0) for y in (-9.0, 9.0)])
    return write_object_usd(
        tmp_path_factory.mktemp("plane") / "plane.usd", [(corners, np.array([[0, 2, 3, 1]]))], dynamic=False
    )


@pytest.fixture(scope="module")
def box(tmp_path_factory):
    return write_box_usd(tmp_path_factory.mktemp("box") / "box.usd", BOX)


def test_a_plane_is_as_far_below_as_it_is(plane, device):
    env = scene(
        [plane] * 3, [(0, 0, 1.1), (3, -2, 0.9), (0, 0, 2.5)], placed=[(0, 0, 0.3), (1, 1, 0.9), (0, 0, 0.0)], device=device
    )
    np.testing.assert_allclose(heights(env), np.tile([[-0.8], [0.0], [-2.5]], 121), atol=1e-6)


def test_a_slope_rises_along_the_robot_s_x(plane, device):
    """The terrain leans by its own pose; the rays turn with the robot's heading and with nothing else."""
    lean, headings, pitch, root_z = 0.3, np.array([0.0, 0.7, 2.5, -1.2]), 0.4, 1.0
    turn = Rotation.from_euler("ZY", np.stack((headings, np.full(4, pitch)), axis=1))
    slope = Rotation.from_euler("y", np.full((4, 1), -lean))  # z = tan(lean) x
    env = scene([plane] * 4, [(0.2, 0.1, root_z)] * 4, turn=turn, placed=(0.2, 0.0, 0.5), placed_turn=slope, device=device)
    for row, heading in zip(heights(env), headings, strict=True):
        ray = turned(FAN, heading) / -FAN[:, 2:]
        drop = (root_z - 0.5) / (1.0 + np.tan(lean) * ray[:, 0])  # where root_z - drop = 0.5 + tan(lean) drop ray_x
        np.testing.assert_allclose(row, -np.minimum(drop, root_z), atol=2e-6)


def test_a_roll_is_no_heading(plane, device):
    env = scene([plane], [(0.0, 0.0, 1.0)], turn=Rotation.from_euler("x", [0.8]), placed=(0.0, 0.0, 0.2), device=device)
    np.testing.assert_allclose(heights(env), -0.8, atol=1e-6)


def test_a_box_is_seen_from_all_sides_and_in_the_grid_s_order(box, device):
    """Each environment has its box elsewhere, turned otherwise."""
    rng = np.random.default_rng(3)
    n = 12
    root = np.column_stack((rng.uniform(-1, 1, (n, 2)), rng.uniform(0.6, 1.6, n)))
    placed = root + np.column_stack((rng.uniform(-0.7, 0.7, (n, 2)), rng.uniform(-1.1, -0.6, n)))
    headings, spin = rng.uniform(-3, 3, n), Rotation.random(n, random_state=5)
    turn = Rotation.from_euler("z", headings[:, None])
    seen = heights(scene([box] * n, root, turn=turn, placed=placed, placed_turn=spin, device=device))
    half, hits = 0.5 * np.array(BOX), 0
    for k in range(n):
        origin, rays = spin[k].inv().apply(root[k] - placed[k]), spin[k].inv().apply(turned(FAN, headings[k]))
        distance = into_box(origin, rays, -half, half)
        hits += np.isfinite(distance).sum()
        drop = np.where(np.isfinite(distance), distance, 5.0) * -FAN[:, 2]
        np.testing.assert_allclose(seen[k], -np.minimum(drop, root[k, 2]), atol=2e-6)
    assert 100 < hits < 1000


def test_a_ray_that_meets_nothing_ends_at_five_metres_or_on_the_ground(box, device):
    env = scene([box] * 3, [(0, 0, 2.0), (0, 0, 4.7), (0, 0, -0.1)], placed=(50.0, 0.0, 0.0), device=device)
    far = 5.0 * FAN[:, 2]
    np.testing.assert_allclose(heights(env), [np.full(121, -2.0), np.maximum(far, -4.7), np.full(121, 0.1)], atol=1e-6)
    np.testing.assert_allclose(heights(env, max_distance=1.0)[0], FAN[:, 2], atol=1e-6)


def test_what_lies_below_the_ground_counts_as_ground(plane, device):
    env = scene([plane], [(0.0, 0.0, 0.9)], placed=(0.0, 0.0, -0.4), device=device)
    np.testing.assert_allclose(heights(env), -0.9, atol=1e-6)


@pytest.mark.parametrize("wrong", [np.nan, np.inf])
def test_a_pose_that_is_no_number_gives_zeros(plane, device, wrong):
    env = scene([plane] * 4, [(0.0, 0.0, 0.9)] * 4, device=device)
    env.state.root_pos_w[1, 0] = wrong
    env.state.root_quat_w[2, 1] = wrong
    env.reference.object_pos_w[3, 2] = wrong
    np.testing.assert_allclose(heights(env), np.tile([[-0.9], [0.0], [0.0], [0.0]], 121), atol=1e-6)


def test_terrain_moves_with_the_reference(plane, device):
    env = scene([plane], [(0.0, 0.0, 1.0)], device=device)
    term = height_map_z_flat(env)
    for height in (0.1, 0.2):
        env.reference.object_pos_w = torch.tensor([[0.0, 0.0, height]], device=device)  # a new tensor, as on a CPU
        np.testing.assert_allclose(term(env).cpu(), height - 1.0, atol=1e-6)


def test_a_grid_of_another_size(box, device):
    env = scene([box], [(0.0, 0.0, 1.0)], device=device)
    seen = heights(env, size=1.0, resolution=0.25)[0]
    grid = np.arange(-2, 3) * 0.25
    x, y = (axis.ravel() for axis in np.meshgrid(grid, grid, indexing="ij"))
    # The top is 0.75 m below the root. Beside it a ray meets the ground.
    on_top = (np.abs(0.75 * x) < 0.2) & (np.abs(0.75 * y) < 0.3)
    np.testing.assert_allclose(seen[on_top], -0.75, atol=1e-6)
    assert on_top.sum() == 9
    distance = into_box(
        np.array([0, 0, 1.0]), np.stack((x, y, -np.ones(25)), axis=1), -0.5 * np.array(BOX), 0.5 * np.array(BOX)
    )
    np.testing.assert_allclose(seen, -np.where(np.isfinite(distance), np.minimum(distance, 1.0), 1.0), atol=1e-6)


def test_threads_change_nothing(box, plane):
    rng = np.random.default_rng(1)
    root = np.column_stack((rng.uniform(-0.5, 0.5, (50, 2)), rng.uniform(0.4, 1.5, 50)))
    files = [(box, plane)[k % 2] for k in range(50)]
    alone, shared = (heights(scene(files, root, num_threads=threads)) for threads in (1, 3))
    assert np.array_equal(alone, shared)
    assert len(np.unique(alone[::2])) > 100


def test_it_keeps_the_contract(box, plane, device):
    env = scene([box, plane], [(0.0, 0.0, 1.0)] * 2, device=device)
    assert_term_contract(height_map_z_flat, env, kind="observation", size=1.5, resolution=0.15, max_distance=5.0)


def test_a_mesh_is_turned_so_that_its_edges_run_along_the_axes():
    from grail_terrain.mdp.ray_casting import square_turn

    box = trimesh.creation.box((0.3, 2.0, 0.1))
    for angle in (-40, -10, 0, 20, 44):
        askew = box.copy().apply_transform(trimesh.transformations.rotation_matrix(np.radians(angle), (0, 0, 1)))
        turn = np.degrees(square_turn(askew.vertices, askew.faces))
        assert abs((turn + angle + 45.0) % 90.0 - 45.0) < 8.0  # diagonals of its rectangles are edges too


def test_files_of_equal_content_are_one_terrain(box, plane, tmp_path):
    from grail_terrain.mdp.height_map import _terrains

    copy = tmp_path / "copy.usd"
    copy.write_bytes(box.read_bytes())
    env = scene([box, plane, copy, plane], np.zeros((4, 3)))
    terrains, env_terrain = _terrains(env.engine.spec)
    assert (len(terrains), env_terrain) == (2, [0, 1, 0, 1])


# --- Stairs ---


@pytest.fixture(scope="module")
def stairs(tmp_path_factory):
    """USD, vertices and faces as the file has them, and roots above them: the real clip's, or those over a made flight of steps."""
    real = STAIRS / "object_usd" / "stair_101.usd"
    if real.is_file():
        (clip,) = load_safe(STAIRS / "robot" / "stair_101.pkl").values()
        frames = np.linspace(0, len(clip["root_trans_offset"]) - 1, 9).astype(int)
        return real, *stored_mesh(real), np.asarray(clip["root_trans_offset"])[frames], np.asarray(clip["root_rot"])[frames]
    steps = [
        trimesh.creation.box((0.3, 1.0, 0.15 * k), trimesh.transformations.translation_matrix((0.3 * k, 0, 0.075 * k)))
        for k in (1, 2, 3)
    ]
    path = write_object_usd(tmp_path_factory.mktemp("stairs") / "stairs.usd", [(step.vertices, step.faces) for step in steps])
    whole = trimesh.util.concatenate(steps)
    roots = np.column_stack((np.linspace(-0.3, 1.0, 9), np.full(9, 0.1), 0.8 + 0.4 * np.linspace(-0.3, 1.0, 9)))
    return path, whole.vertices, whole.faces, roots, quats(Rotation.from_euler("z", np.linspace(-1, 1, 9)[:, None])).numpy()


def stored_mesh(path):
    """The one mesh of a file whose prims have no transforms, read without the framework."""
    stage = pxr.Usd.Stage.Open(str(path))
    prim = stage.GetPrimAtPath("/Object/mesh")
    points, counts, indices = (
        np.asarray(prim.GetAttribute(name).Get()) for name in ("points", "faceVertexCounts", "faceVertexIndices")
    )
    assert (counts == 3).all()
    return points.astype(np.float64), indices.reshape(-1, 3)


def test_stairs_are_what_trimesh_sees(stairs, device):
    path, vertices, faces, root, quat = stairs
    rng = np.random.default_rng(0)
    n = len(root)
    lifted = root + np.array([0.0, 0.0, 0.3])
    offset, spin = rng.uniform(-2, 2, (n, 3)) * [1, 1, 0.1], Rotation.from_euler("z", rng.uniform(-3, 3, (n, 1)))
    turn = Rotation.from_quat(quat, scalar_first=True)
    # Robot and terrain are moved alike; what the robot sees stays, but for the ground's height.
    env = scene([path] * n, spin.apply(lifted) + offset, turn=spin * turn, placed=offset, placed_turn=spin, device=device)
    seen = heights(env)
    heading = Rotation.from_quat(turn.as_quat(scalar_first=True) * [1, 0, 0, 1], scalar_first=True)  # x and y set to 0
    rays = np.stack([one.apply(FAN) for one in heading])
    origins = np.repeat(lifted, 121, axis=0)
    caster = trimesh.ray.ray_triangle.RayMeshIntersector(trimesh.Trimesh(vertices, faces, process=False))
    points, of_ray, _ = caster.intersects_location(origins, rays.reshape(-1, 3), multiple_hits=False)
    hit_z = origins[:, 2] + 5.0 * rays.reshape(-1, 3)[:, 2]
    hit_z[of_ray] = points[:, 2]
    ground = -np.repeat(offset[:, 2], 121)
    expected = (np.maximum(hit_z, ground) - origins[:, 2]).reshape(n, 121)
    np.testing.assert_allclose(seen, expected, atol=1e-3)
    assert (expected > -lifted[:, 2:] - offset[:, 2:] + 0.05).mean() > 0.2, "most rays should meet steps"


# --- What is refused, and what is not paid for ---


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"size": 1.5, "resolution": 0.2}, r"size=1\.5, resolution=0\.2; allowed: lengths above 0 \[m\], the size a multiple"),
        ({"size": -1.5}, r"size=-1\.5"),
        ({"resolution": 0.0}, r"resolution=0"),
        ({"max_distance": 0.0}, r"max_distance=0; allowed: a length above 0"),
    ],
)
def test_lengths_that_are_none(box, params, message):
    with pytest.raises(ConfigError, match=message):
        height_map_z_flat(scene([box], [(0.0, 0.0, 1.0)]), **params)


def test_a_scene_without_terrain():
    env = scene(["none.usd"], [(0.0, 0.0, 1.0)])
    env.engine.spec.objects = ()
    with pytest.raises(ConfigError, match=r"no objects, and terrain is the object of the scene; set scene\.object"):
        height_map_z_flat(env)


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(AssetError, match=r"none\.usd: no such file"):
        height_map_z_flat(scene([tmp_path / "none.usd"], [(0.0, 0.0, 1.0)]))


def test_warp_is_imported_by_who_builds_the_term_and_prints_nothing(plane):
    """A command's stdout may be JSON."""
    code = f"""
import sys, test_height_map as tests
before = [name for name in ("warp", "isaaclab", "newton") if name in sys.modules]
print(before, tests.heights(tests.scene([{str(plane)!r}], [(0.0, 0.0, 0.5)])).mean(), "isaaclab" in sys.modules)
"""
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *filter(None, sys.path)])}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environ, check=True, timeout=120)
    assert (done.stdout, done.stderr) == ("[] -0.5 False\n", "")
