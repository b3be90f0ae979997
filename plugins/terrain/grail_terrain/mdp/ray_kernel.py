"""The kernel that casts every environment's fan of rays. A module of its own: Warp compiles a module as a whole.

Written in the subset of Python that Warp compiles, whose types a type checker does not know.
"""

# pyright: reportIndexIssue=false, reportOperatorIssue=false, reportArgumentType=false, reportInvalidTypeForm=false, reportCallIssue=false
# pyright: reportAssignmentType=false, reportGeneralTypeIssues=false

from __future__ import annotations

import warp as wp

wp.set_module_options({"enable_backward": False})  # an observation needs no adjoint, and it doubles what is compiled


@wp.func
def _heading(w: float, z: float) -> wp.vec2:
    """Return cosine and sine of the heading of a quaternion: its turn about z once x and y are set to 0."""
    norm_sq = w * w + z * z
    if norm_sq < 1.0e-14:  # upside down: it has none
        return wp.vec2(1.0, 0.0)
    return wp.vec2((w * w - z * z) / norm_sq, 2.0 * w * z / norm_sq)


@wp.kernel
def cast_fan(
    poses: wp.array2d[wp.float32],
    meshes: wp.array[wp.uint64],
    turns: wp.array[wp.quat],
    half_size: float,
    spacing: float,
    max_distance: float,
    heights: wp.array3d[wp.float32],
) -> None:
    """Write how high above the robot's root its rays meet the terrain; one thread per ray.

    Args:
        poses: (envs, 14) root position and orientation, terrain position and orientation; quaternions wxyz.
        meshes: (envs,) mesh of each environment's terrain.
        turns: (envs,) from the terrain's frame to that of its mesh.
        half_size: half the extent of the grid of ray ends 1 m below the root [m].
        spacing: distance of its points [m].
        max_distance: a ray that meets nothing within ends there [m].
        heights: (envs, x, y) results, in the robot's heading frame [m].
    """
    env, ix, iy = wp.tid()
    root = wp.vec3(poses[env, 0], poses[env, 1], poses[env, 2])
    root_quat = wp.vec4(poses[env, 3], poses[env, 4], poses[env, 5], poses[env, 6])
    origin = wp.vec3(poses[env, 7], poses[env, 8], poses[env, 9])
    quat = wp.quat(poses[env, 11], poses[env, 12], poses[env, 13], poses[env, 10])
    if not (wp.isfinite(root) and wp.isfinite(root_quat) and wp.isfinite(origin) and wp.isfinite(quat)):
        heights[env, ix, iy] = 0.0
        return
    x, y = float(ix) * spacing - half_size, float(iy) * spacing - half_size
    heading = _heading(root_quat[0], root_quat[3])
    down = 1.0 / wp.sqrt(x * x + y * y + 1.0)
    ray = down * wp.vec3(heading[0] * x - heading[1] * y, heading[1] * x + heading[0] * y, -1.0)
    # What is below z = 0 counts as z = 0, so there is nothing to look for beyond.
    distance = wp.min(max_distance, root[2] / down)
    if distance > 0.0:
        to_mesh = turns[env] * wp.quat_inverse(quat)
        hit = wp.mesh_query_ray(meshes[env], wp.quat_rotate(to_mesh, root - origin), wp.quat_rotate(to_mesh, ray), distance)
        if hit.result:
            distance = hit.t
    heights[env, ix, iy] = -distance * down
