"""Forward kinematics of a `RobotSpec`, batched over frames or environments, one pass over the depth levels of the tree."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import torch

from grail_framework.robots.rotations import quat_apply, quat_mul

if TYPE_CHECKING:
    from grail_framework.robots.spec import RobotSpec

_PRODUCT_TERMS: Final = (0, 1, 2, 3, 1, 0, 3, 2, 2, 3, 0, 1, 3, 2, 1, 0)
_PRODUCT_SIGNS: Final = ((1.0, -1.0, -1.0, -1.0), (1.0, 1.0, 1.0, -1.0), (1.0, -1.0, 1.0, 1.0), (1.0, 1.0, -1.0, 1.0))
"""The product p q of quaternions as a matrix of q's components, by rows, acting on p: entry = sign * q[term]."""


class Kinematics:
    """Link poses and velocities from the generalised state; everything in the order of the robot's bodies and joints.

    Inside, bodies are sorted by depth, so that a level is a slice and a level's parents are in the level above.
    """

    def __init__(self, robot: RobotSpec, device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32) -> None:
        self.robot = robot
        self.device = torch.device(device)
        self.dtype = dtype
        levels = _levels(robot)
        order = [index for level in levels for index in level]
        bodies = [robot.bodies[index] for index in order]
        row = {body.name: index for index, body in enumerate(bodies)}
        self._bounds: list[tuple[int, int]] = []
        self._level_parents: list[torch.Tensor] = []
        start = 0
        for above, level in zip([[], *levels], levels, strict=False):
            self._bounds.append((start, start + len(level)))
            names = [robot.bodies[index].name for index in above]
            parents = [robot.bodies[index].parent for index in level]
            self._level_parents.append(self._index([names.index(name) for name in parents if name is not None]))
            start += len(level)
        self._by_depth = self._index(order)
        self._to_robot_order = torch.argsort(self._by_depth)
        self._parent = self._index([0 if body.parent is None else row[body.parent] for body in bodies])
        self._pos = self._tensor([body.pos for body in bodies])
        self._quat = self._tensor([body.quat for body in bodies])
        self._product_terms = self._index(_PRODUCT_TERMS)
        self._product_signs = self._tensor(_PRODUCT_SIGNS)
        self._com = self._tensor([body.com for body in robot.bodies])
        self._axis = self._tensor([body.joint.axis if body.joint else (0.0, 0.0, 0.0) for body in bodies])
        # A column of zeros behind the joints stands for the bodies that no joint moves.
        no_joint = robot.num_joints
        self._joint = self._index([robot.joint_ids([body.joint.name])[0] if body.joint else no_joint for body in bodies])

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
        turn = self._turn(joint_pos)
        quat = root_quat.unsqueeze(-2)
        levels = [quat]
        for (start, end), parents in zip(self._bounds[1:], self._level_parents[1:], strict=True):
            above = quat.index_select(-2, parents).unsqueeze(-2)
            quat = (turn[..., start:end, :, :] * above).sum(-1)
            levels.append(quat)
        quat = torch.cat(levels, dim=-2)
        offset = quat_apply(quat.index_select(-2, self._parent), self._pos)
        pos = self._down_the_tree(root_pos, offset)
        return pos.index_select(-2, self._to_robot_order), quat.index_select(-2, self._to_robot_order)

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
        """
        pos = body_pos.index_select(-2, self._by_depth)
        quat = body_quat.index_select(-2, self._by_depth)
        # A joint turns about an axis fixed in its own link, so the link's orientation carries it to world axes.
        ang = self._down_the_tree(root_ang_vel, quat_apply(quat, self._axis * self._per_body(joint_vel)))
        arm = pos - pos.index_select(-2, self._parent)
        lin = self._down_the_tree(root_lin_vel, torch.linalg.cross(ang.index_select(-2, self._parent), arm))
        lin, ang = lin.index_select(-2, self._to_robot_order), ang.index_select(-2, self._to_robot_order)
        return lin + torch.linalg.cross(ang, quat_apply(body_quat, self._com)), ang

    def _turn(self, joint_pos: torch.Tensor) -> torch.Tensor:
        """Matrix (..., B, 4, 4) that takes a parent's quaternion to the body's, bodies by depth."""
        half = 0.5 * self._per_body(joint_pos)
        joint_quat = torch.cat((torch.cos(half), torch.sin(half) * self._axis), dim=-1)
        local = quat_mul(self._quat, joint_quat)
        return local.index_select(-1, self._product_terms).unflatten(-1, (4, 4)) * self._product_signs

    def _down_the_tree(self, root: torch.Tensor, increments: torch.Tensor) -> torch.Tensor:
        """Add up increments (..., B, 3) from the root, which starts at (..., 3), to every body; bodies by depth."""
        value = root.unsqueeze(-2)
        levels = [value]
        for (start, end), parents in zip(self._bounds[1:], self._level_parents[1:], strict=True):
            value = value.index_select(-2, parents) + increments[..., start:end, :]
            levels.append(value)
        return torch.cat(levels, dim=-2)

    def _per_body(self, joints: torch.Tensor) -> torch.Tensor:
        """Spread a joint tensor (..., J) over the bodies the joints move (..., B, 1), by depth; 0 for fixed bodies."""
        return torch.nn.functional.pad(joints, (0, 1)).index_select(-1, self._joint).unsqueeze(-1)

    def _tensor(self, values: object) -> torch.Tensor:
        return torch.tensor(values, dtype=self.dtype, device=self.device)

    def _index(self, values: object) -> torch.Tensor:
        return torch.tensor(values, dtype=torch.long, device=self.device)


def _levels(robot: RobotSpec) -> list[list[int]]:
    """Sort body indices into depth levels, the root alone in the first."""
    depth: dict[str, int] = {}
    levels: list[list[int]] = []
    for index, body in enumerate(robot.bodies):
        depth[body.name] = 0 if body.parent is None else depth[body.parent] + 1
        if depth[body.name] == len(levels):
            levels.append([])
        levels[depth[body.name]].append(index)
    return levels
