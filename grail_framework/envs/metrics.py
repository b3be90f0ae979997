"""How far the robot and the object are from their reference, in plain units, whatever the rewards make of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from grail_framework.robots.rotations import quat_angle

if TYPE_CHECKING:
    from grail_framework.envs.tracking_env import TrackingEnv

_ROBOT = ("anchor_pos", "anchor_ori", "body_pos", "body_ori", "joint_pos")
_OBJECT = ("object_pos", "object_ori")


class TrackingErrors:
    """Sums of tracking errors over control steps, means over environments; measured on what rewards and terminations see.

    anchor_pos [m] and anchor_ori [rad]: the anchor body in the world; body_pos [m] and body_ori [rad]: mean over tracked bodies of the
    re-anchored reference; joint_pos [rad]: mean absolute error of the joints that motions describe; object_pos [m], object_ori [rad].
    """

    def __init__(self, env: TrackingEnv) -> None:
        self._env = env
        self._joints = env.robot.num_motion_joints
        self._has_object = bool(env.engine.spec.objects)
        self.names = (*_ROBOT, *_OBJECT) if self._has_object else _ROBOT
        self.sums = torch.zeros(len(self.names), device=env.device)

    def measure(self) -> None:
        """Add the errors of this step; an invalid environment counts as 0."""
        env, view = self._env, self._env.view
        errors = [
            view.anchor_distance,
            view.anchor_angle,
            torch.linalg.vector_norm(view.relative_body_error_w, dim=-1).mean(dim=1),
            view.relative_body_angle.mean(dim=1),
            (env.state.joint_pos[:, : self._joints] - env.reference.joint_pos).abs().mean(dim=1),
        ]
        if self._has_object:
            errors += [view.object_distance, quat_angle(env.reference.object_quat_w, env.state.object_quat_w)]
        self.sums += torch.nan_to_num(torch.stack(errors), nan=0.0, posinf=0.0, neginf=0.0).mean(dim=1)
