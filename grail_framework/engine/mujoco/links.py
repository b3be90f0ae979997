"""Poses and velocities of the robot's links from the generalised state, for a fixed number of environments on the CPU.

MuJoCo's own link poses lag one physics step behind the state that a rollout returns. `robots.kinematics` computes the same in torch
and for any batch; here a whole step takes a millisecond, so the arrays are allocated once, environments are the last axis (long,
contiguous) and the sums along the kinematic chains are products with the matrix of ancestors.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from grail_framework.robots.spec import BodySpec, RobotSpec

    type Array = NDArray[np.float64]


def _rotation_terms() -> Array:
    matrix = np.zeros((3, 3, 4, 4))
    for row in range(3):
        following, last = (row + 1) % 3, (row + 2) % 3
        matrix[row, :, 1 + row, 1:] += 2.0 * np.eye(3)
        matrix[row, row] += np.diag([1.0, -1.0, -1.0, -1.0])
        matrix[following, row, 0, 1 + last] += 2.0
        matrix[row, following, 0, 1 + last] -= 2.0
    return matrix.reshape(9, 16)


ROTATION: Final = _rotation_terms()
"""(9, 16): the rotation matrix of a unit quaternion, row by row, from the products of its components, row by row."""


class LinkStates:
    """Positions, orientations and velocities of all links of `num_envs` robots; results are overwritten by every `update`.

    Attributes, B bodies in robot order and N environments, world frame: `pos` (3, B, N) and `quat` (4, B, N) of the link frames,
    `lin_vel` (3, B, N) of the links' centres of mass, `ang_vel` (3, B, N).
    """

    def __init__(self, robot: RobotSpec, num_envs: int) -> None:
        bodies, shape = robot.bodies, (len(robot.bodies), num_envs)
        self._parent = _parents(bodies)
        self._ancestors = _ancestors(self._parent)
        self._by_depth, self._levels = _levels(self._parent)
        self._to_robot_order = np.argsort(self._by_depth)
        self._moved = np.array([row for row, body in enumerate(bodies) if body.joint is not None], dtype=np.int64)
        self._joint = np.array(robot.joint_ids([body.joint.name for body in bodies if body.joint is not None]), dtype=np.int64)
        self._axis = _columns([body.joint.axis if body.joint else (0.0, 0.0, 0.0) for body in bodies])
        self._offset = _columns([body.pos for body in bodies])
        self._com = _columns([body.com for body in bodies])
        self._turns = np.stack([_turn(bodies[row]) for row in self._by_depth], axis=-1)[..., None]
        self._angle, self._rate = np.zeros(shape), np.zeros(shape)
        self._turn, self._turn_sine, self._chain = (np.empty((*size, *shape), complex) for size in ((2, 2), (2, 2), (2,)))
        self._outer, self._rotation = np.empty((4, 4, *shape)), np.empty((3, 3, *shape))
        self._rotation_parent, self._rotated = np.empty((3, 3, *shape)), np.empty((3, 3, *shape))
        self._increments = np.empty((3, *shape))
        # The first two components of every vector are repeated behind it: a cross product is then made of slices.
        self._offset_w, self._axis_w, self._com_w, self._ang, self._ang_parent = (np.empty((5, *shape)) for _ in range(5))
        self.pos, self.quat, self.lin_vel = np.empty((3, *shape)), np.empty((4, *shape)), np.empty((3, *shape))
        self.ang_vel = self._ang[:3]

    def update(self, root: tuple[Array, Array, Array, Array], joint_pos: Array, joint_vel: Array) -> None:
        """Recompute everything.

        Args:
            root: position (N, 3) [m], orientation (N, 4) wxyz and linear velocity of the link's origin (N, 3) [m/s] in the world frame,
                angular velocity (N, 3) [rad/s] in the link frame: as MuJoCo's state has them.
            joint_pos: (N, J) [rad].
            joint_vel: (N, J) [rad/s].
        """
        pos, quat, lin_vel, ang_vel = root
        self._angle[self._moved] = joint_pos.T.take(self._joint, axis=0)
        self._rate[self._moved] = joint_vel.T.take(self._joint, axis=0)
        self._orient(quat)
        np.take(self._rotation, self._parent, axis=2, out=self._rotation_parent, mode="clip")
        self._rotate(self._rotation_parent, self._offset, self._offset_w)
        self._rotate(self._rotation, self._axis, self._axis_w)
        self._rotate(self._rotation, self._com, self._com_w)
        self._sum_down(self._offset_w[:3], pos, self.pos)
        root_ang_w = (self._rotation[:, :, 0] * ang_vel.T).sum(axis=1).T
        self._sum_down(np.multiply(self._axis_w[:3], self._rate, out=self._increments), root_ang_w, self.ang_vel)
        self._ang[3:] = self._ang[:2]
        np.take(self._ang, self._parent, axis=1, out=self._ang_parent, mode="clip")
        self._sum_down(self._cross(self._ang_parent, self._offset_w), lin_vel, self.lin_vel)
        self.lin_vel += self._cross(self._ang, self._com_w)

    def _orient(self, root_quat: Array) -> None:
        """Multiply the joints' rotations down the tree, one depth level at a time, and make rotation matrices of the products."""
        half = 0.5 * self._angle.take(self._by_depth, axis=0)
        turn, chain = self._turn, self._chain
        np.multiply(self._turns[0], np.cos(half), out=turn)
        turn += np.multiply(self._turns[1], np.sin(half), out=self._turn_sine)
        chain[:, 0] = root_quat.view(complex).T
        for start, end, parents in self._levels:
            terms = turn[:, :, start:end] * chain.take(parents, axis=1)[:, None]
            np.add(terms[0], terms[1], out=chain[:, start:end])
        components = chain.view(np.float64).reshape(*chain.shape, 2).transpose(0, 3, 1, 2)
        self.quat.reshape(2, 2, *half.shape)[:] = components.take(self._to_robot_order, axis=2)
        np.multiply(self.quat[:, None], self.quat[None], out=self._outer)
        np.matmul(ROTATION, self._outer.reshape(16, -1), out=self._rotation.reshape(9, -1))

    def _rotate(self, rotation: Array, vectors: Array, out: Array) -> None:
        """Rotate one constant vector per body (3, B, 1) by (3, 3, B, N) into (5, B, N)."""
        np.multiply(rotation, vectors, out=self._rotated)
        np.add(self._rotated[:, 0], self._rotated[:, 1], out=out[:3])
        out[:3] += self._rotated[:, 2]
        out[3:] = out[:2]

    def _sum_down(self, increments: Array, root: Array, out: Array) -> None:
        """Add up increments (3, B, N) from the root, which starts at (N, 3), to every body."""
        increments[:, 0] = root.T
        np.matmul(self._ancestors, increments, out=out)

    def _cross(self, a: Array, b: Array) -> Array:
        """Return a x b of (5, B, N) vectors as (3, B, N), overwritten by the next call."""
        np.multiply(a[1:4], b[2:5], out=self._increments)
        self._increments -= np.multiply(a[2:5], b[1:4], out=self._rotated[0])
        return self._increments


def _parents(bodies: tuple[BodySpec, ...]) -> NDArray[np.int64]:
    index = {body.name: row for row, body in enumerate(bodies)}
    return np.array([0 if body.parent is None else index[body.parent] for body in bodies], dtype=np.int64)


def _ancestors(parent: NDArray[np.int64]) -> Array:
    """Return (B, B): 1 where the column's body is the row's body or above it."""
    matrix = np.eye(len(parent))
    for row in range(1, len(parent)):
        matrix[row] += matrix[parent[row]]
    return matrix


def _levels(parent: NDArray[np.int64]) -> tuple[NDArray[np.int64], list[tuple[int, int, NDArray[np.int64]]]]:
    """Return the bodies sorted by depth, and for each level below the root its slice in that order and its parents' places."""
    depth = np.zeros(len(parent), dtype=np.int64)
    for row in range(1, len(parent)):
        depth[row] = depth[parent[row]] + 1
    order = np.argsort(depth, kind="stable")
    place = np.argsort(order)
    bounds = np.searchsorted(depth[order], np.arange(1, depth.max() + 2))
    slices = zip(bounds[:-1].tolist(), bounds[1:].tolist(), strict=True)
    return order, [(start, end, place[parent[order[start:end]]]) for start, end in slices]


def _turn(body: BodySpec) -> NDArray[np.complex128]:
    """Return (2, 2, 2): the body's rotation in its parent, for cosine and sine of half the joint angle.

    A quaternion is a pair of complex numbers, (w + x i) + (y + z i) j. The product p q is then the sum of p's numbers, each times a row
    of the matrix ((q1, q2), (-conj q2, conj q1)).
    """
    fixed = _pair_matrix(np.array(body.quat, dtype=np.float64))
    axis = _pair_matrix(np.array((0.0, *(body.joint.axis if body.joint else (0.0, 0.0, 0.0))), dtype=np.float64))
    return np.stack((fixed, fixed @ axis))


def _pair_matrix(quat: Array) -> NDArray[np.complex128]:
    first, second = quat.view(complex)
    return np.array([[first, second], [-second.conj(), first.conj()]])


def _columns(vectors: list[tuple[float, float, float]]) -> Array:
    return np.array(vectors, dtype=np.float64).T[:, :, None]
