"""Forward kinematics of a `RobotSpec`, batched over frames or environments, one pass over the depth levels of the tree."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import torch

from grail_framework.robots.rotations import quat_mul

if TYPE_CHECKING:
    from collections.abc import Sequence

    from grail_framework.robots.spec import RobotSpec

_CPU_BATCH: Final = 2048
"""States that go through the tree at once on a CPU: their intermediate values stay in its cache."""


class Kinematics:
    """Link poses and velocities from the generalised state; everything in the order of the robot's bodies and joints.

    Inside, components come first and states last, (3, B, n): every operation then runs over long contiguous rows, many times faster
    on a CPU than over rows of three or four numbers. Bodies are sorted by depth, so that a level is a slice and a level's parents are
    in the level above.
    """

    def __init__(
        self,
        robot: RobotSpec,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
        *,
        bodies: Sequence[str] | None = None,
    ) -> None:
        """Lay out the tree.

        Args:
            robot: whose tree it is.
            device: where the states will be.
            dtype: of the states.
            bodies: the links `forward` returns, in this order; only they and their ancestors are computed. None: all.

        Raises:
            ConfigError: a name in `bodies` that is no body of this robot.
        """
        self.robot = robot
        self.device = torch.device(device)
        self.dtype = dtype
        wanted = list(range(len(robot.bodies))) if bodies is None else robot.body_ids(bodies)
        self._complete = bodies is None
        levels = _levels(robot, _with_ancestors(robot, wanted))
        order = [index for level in levels for index in level]
        row = {robot.bodies[index].name: at for at, index in enumerate(order)}
        self._bounds: list[tuple[int, int]] = []
        self._level_parents: list[torch.Tensor] = []
        start = 0
        for level in levels:
            above = self._bounds[-1][0] if self._bounds else 0
            self._bounds.append((start, start + len(level)))
            self._level_parents.append(self._index([_parent_row(robot, index, row) - above for index in level]))
            start += len(level)
        self._by_depth = self._index(order)
        self._to_wanted = self._index([order.index(index) for index in wanted])
        self._parent = self._index([_parent_row(robot, index, row) for index in order])
        kept = [robot.bodies[index] for index in order]
        self._offset = self._columns([body.pos for body in kept])
        self._com = self._columns([body.com for body in kept])
        self._axis = self._columns([body.joint.axis if body.joint else (0.0, 0.0, 0.0) for body in kept])
        # The turn of a joint is cos(half) quat + sin(half) (quat * axis): as matrices that act on the parent's orientation.
        quat = torch.tensor([body.quat for body in kept], dtype=dtype, device=self.device)
        half_turn = quat_mul(quat, torch.nn.functional.pad(self._axis.squeeze(-1).T, (1, 0)))
        self._cos_matrix, self._sin_matrix = _right_product(quat), _right_product(half_turn)
        # A column of zeros behind the joints stands for the bodies that no joint moves.
        no_joint = robot.num_joints
        self._joint = self._index([robot.joint_ids([body.joint.name])[0] if body.joint else no_joint for body in kept])

    def forward(
        self, root_pos: torch.Tensor, root_quat: torch.Tensor, joint_pos: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the pose of every link frame.

        Args:
            root_pos: (..., 3) world position of the root link's frame [m].
            root_quat: (..., 4) wxyz, unit.
            joint_pos: (..., J) [rad].

        Returns:
            Positions (..., B, 3) [m] and unit quaternions wxyz (..., B, 4), world frame.
        """
        shape = root_pos.shape[:-1]
        states = root_pos.reshape(-1, 3), root_quat.reshape(-1, 4), joint_pos.reshape(-1, joint_pos.shape[-1])
        batch = _CPU_BATCH if self.device.type == "cpu" else max(1, len(states[0]))
        parts = [self.poses(*(s.T for s in part)) for part in zip(*(s.split(batch) for s in states), strict=True)]
        pos = torch.cat([part[0].permute(2, 1, 0) for part in parts])
        quat = torch.cat([part[1].permute(2, 1, 0) for part in parts])
        return pos.reshape(*shape, *pos.shape[1:]), quat.reshape(*shape, *quat.shape[1:])

    def poses(
        self, root_pos: torch.Tensor, root_quat: torch.Tensor, joint_pos: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the pose of every link frame, components first: what `forward` does, without its transpositions.

        Args:
            root_pos: (3, n) world position of the root link's frame [m].
            root_quat: (4, n) wxyz, unit.
            joint_pos: (J, n) [rad].

        Returns:
            Positions (3, B, n) [m] and unit quaternions wxyz (4, B, n), world frame.
        """
        half = 0.5 * self._per_body(joint_pos)
        turn = torch.addcmul(self._cos_matrix * half.cos(), self._sin_matrix, half.sin())
        quat = root_quat.unsqueeze(1)
        levels = [quat]
        for (start, end), parents in zip(self._bounds[1:], self._level_parents[1:], strict=True):
            quat = (turn[:, :, start:end] * quat.index_select(1, parents)).sum(1)
            levels.append(quat)
        quat = torch.cat(levels, dim=1)
        pos = self._down_the_tree(root_pos, _rotate(quat.index_select(1, self._parent), self._offset))
        return pos.index_select(1, self._to_wanted), quat.index_select(1, self._to_wanted)

    def velocities(
        self,
        body_pos: torch.Tensor,
        body_quat: torch.Tensor,
        root_lin_vel: torch.Tensor,
        root_ang_vel: torch.Tensor,
        joint_vel: torch.Tensor,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the velocity of every link, world axes.

        Args:
            body_pos: (..., B, 3) from `forward` [m].
            body_quat: (..., B, 4) from `forward`.
            root_lin_vel: (..., 3) of the root link's origin [m/s].
            root_ang_vel: (..., 3) [rad/s].
            joint_vel: (..., J) [rad/s].

        Returns:
            Linear velocities of the links' centres of mass (..., B, 3) [m/s] and angular velocities (..., B, 3) [rad/s].

        Raises:
            ValueError: this object was made for some bodies only.
        """
        if not self._complete:
            raise ValueError("velocities need every link; make the Kinematics without `bodies`")
        shape = body_pos.shape[:-2]
        pos, quat = (self._components_first(value) for value in (body_pos, body_quat))
        roots = root_lin_vel.reshape(-1, 3).T, root_ang_vel.reshape(-1, 3).T
        joints = self._per_body(joint_vel.reshape(-1, joint_vel.shape[-1]).T)
        # A joint turns about an axis fixed in its own link, so the link's orientation carries it to world axes.
        ang = self._down_the_tree(roots[1], _rotate(quat, self._axis) * joints)
        arm = pos - pos.index_select(1, self._parent)
        lin = self._down_the_tree(roots[0], _cross(ang.index_select(1, self._parent), arm))
        lin = lin + _cross(ang, _rotate(quat, self._com))
        lin, ang = (value.index_select(1, self._to_wanted).permute(2, 1, 0) for value in (lin, ang))
        return lin.reshape(*shape, *lin.shape[1:]), ang.reshape(*shape, *ang.shape[1:])

    def _down_the_tree(self, root: torch.Tensor, increments: torch.Tensor) -> torch.Tensor:
        """Add up increments (3, B, n) from the root, which starts at (3, n), to every body; bodies by depth."""
        value = root.unsqueeze(1)
        levels = [value]
        for (start, end), parents in zip(self._bounds[1:], self._level_parents[1:], strict=True):
            value = value.index_select(1, parents) + increments[:, start:end]
            levels.append(value)
        return torch.cat(levels, dim=1)

    def _per_body(self, joints: torch.Tensor) -> torch.Tensor:
        """Spread a joint tensor (J, n) over the bodies the joints move (B, n), by depth; 0 for fixed bodies."""
        return torch.nn.functional.pad(joints, (0, 0, 0, 1)).index_select(0, self._joint)

    def _components_first(self, value: torch.Tensor) -> torch.Tensor:
        """Turn (..., B, k) in the robot's order into (k, B, n), bodies by depth."""
        flat = value.reshape(-1, *value.shape[-2:])
        return flat.permute(2, 1, 0).index_select(1, self._by_depth)

    def _columns(self, values: object) -> torch.Tensor:
        """Make a constant (3, B, 1) of B vectors."""
        return torch.tensor(values, dtype=self.dtype, device=self.device).T.unsqueeze(-1).contiguous()

    def _index(self, values: object) -> torch.Tensor:
        return torch.tensor(values, dtype=torch.long, device=self.device)


def _rotate(quat: torch.Tensor, vector: torch.Tensor) -> torch.Tensor:
    """Rotate vectors (3, B, n or 1) by unit quaternions (4, B, n)."""
    twice = 2.0 * _cross(quat[1:], vector)
    return vector + quat[:1] * twice + _cross(quat[1:], twice)


def _cross(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Cross product of vectors (3, ...): written out, since torch's own runs over the components in its innermost loop."""
    (ax, ay, az), (bx, by, bz) = a.unbind(0), b.unbind(0)
    return torch.stack((ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx))


def _right_product(quat: torch.Tensor) -> torch.Tensor:
    """Turn quaternions q (B, 4) into matrices (4, 4, B, 1) that take p to the product p q."""
    w, x, y, z = quat.unbind(-1)
    rows = (w, -x, -y, -z, x, w, z, -y, y, -z, w, x, z, y, -x, w)
    return torch.stack(rows).reshape(4, 4, -1, 1)


def _parent_row(robot: RobotSpec, index: int, row: dict[str, int]) -> int:
    """Row of a body's parent in depth order; 0 for the root."""
    parent = robot.bodies[index].parent
    return 0 if parent is None else row[parent]


def _with_ancestors(robot: RobotSpec, wanted: Sequence[int]) -> set[int]:
    """Add to body indices all bodies between them and the root, which is always there."""
    names = {body.name: index for index, body in enumerate(robot.bodies)}
    found = {0}
    for index in wanted:
        at: int | None = index
        while at is not None and at not in found:
            found.add(at)
            parent = robot.bodies[at].parent
            at = None if parent is None else names[parent]
    return found


def _levels(robot: RobotSpec, kept: set[int]) -> list[list[int]]:
    """Sort body indices into depth levels, the root alone in the first."""
    depth: dict[str, int] = {}
    levels: list[list[int]] = []
    for index, body in enumerate(robot.bodies):
        depth[body.name] = 0 if body.parent is None else depth[body.parent] + 1
        if index not in kept:
            continue
        if depth[body.name] == len(levels):
            levels.append([])
        levels[depth[body.name]].append(index)
    return levels
