"""Action transforms: from the policy's output to joint position targets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, runtime_checkable

import torch

from grail_framework.errors import ConfigError, DataError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from grail_framework.envs.tracking_env import TrackingEnv

ACTION_CLIP = 20.0
"""Bound of every joint action before its scale (the GRAIL release's `action_clip_value`)."""


class ActionTransform(Protocol):
    """What the environment needs of an action transform; made as `cls(env, **params)`."""

    num_actions: int
    action: torch.Tensor  # (N, num_actions), last policy output
    previous_action: torch.Tensor  # (N, num_actions), the one before
    joint_action: torch.Tensor  # (N, J), last clipped action before scale and offset, in joint order
    primitives: torch.Tensor  # (N, hands), raw hand primitives before threshold or clamp; no columns without primitives
    primitive_limit: float  # magnitude of a primitive beyond which it says nothing new

    def apply(self, action: torch.Tensor) -> torch.Tensor:
        """Turn the policy's output (N, num_actions) into joint position targets (N, J) [rad]."""
        ...

    def reset(self, mask: torch.Tensor) -> None:
        """Forget the actions of the environments in the mask (N,)."""
        ...

    def state_dict(self) -> dict[str, torch.Tensor]:
        """Return the stored actions."""
        ...

    def load_state_dict(self, state: dict[str, torch.Tensor]) -> None:
        """Restore the stored actions."""
        ...


@runtime_checkable
class AbsoluteAction(Protocol):
    """An action transform whose joint targets are an affine function of the action alone."""

    @property
    def joint_targets(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Return, per action, its joint's default position [rad] and what it is multiplied by [rad]."""
        ...


@runtime_checkable
class ObservingAction(Protocol):
    """An action transform that reads observation groups, in `apply` and as they were last computed: `env.observations[group]`."""

    def bind_observations(self, layouts: Mapping[str, Mapping[str, int]]) -> None:
        """Learn each group's terms, in order, with their widths; called once, when the groups are built.

        Raises:
            GrailError: a group is missing, or its terms are not those the transform was made for.
        """
        ...


@runtime_checkable
class MeasuredAction(Protocol):
    """An action transform that tells something of its own with every iteration's metrics."""

    def metrics(self) -> dict[str, torch.Tensor]:
        """Return scalars on the device, by name, of the last step."""
        ...


class JointAction:
    """Bookkeeping that transforms share: clip, scale, last and previous action."""

    def __init__(self, env: TrackingEnv, num_actions: int) -> None:
        self._env = env
        self.num_actions = num_actions
        self.action = torch.zeros(env.num_envs, num_actions, device=env.device)
        self.previous_action = torch.zeros_like(self.action)
        self.joint_action = torch.zeros(env.num_envs, env.robot.num_joints, device=env.device)
        self.primitives = torch.zeros(env.num_envs, 0, device=env.device)
        self.primitive_limit = 0.5
        self.scale = torch.tensor([joint.action_scale for joint in env.robot.joints], device=env.device)

    def remember(self, action: torch.Tensor, joint_action: torch.Tensor) -> torch.Tensor:
        """Store the action (N, num_actions), clip and store the joint action (N, J), and return the latter scaled [rad]."""
        self.previous_action.copy_(self.action)
        self.action.copy_(action)
        self.joint_action.copy_(joint_action.clamp(-ACTION_CLIP, ACTION_CLIP))
        return self.joint_action * self.scale

    def reset(self, mask: torch.Tensor) -> None:
        """Forget the actions of the environments in the mask (N,)."""
        for buffer in (self.action, self.previous_action, self.joint_action):
            buffer.masked_fill_(mask.unsqueeze(1), 0.0)

    def state_dict(self) -> dict[str, torch.Tensor]:
        """Return the stored actions."""
        return {
            "action": self.action.clone(),
            "previous_action": self.previous_action.clone(),
            "joint_action": self.joint_action.clone(),
        }

    def load_state_dict(self, state: dict[str, torch.Tensor]) -> None:
        """Restore the stored actions."""
        self.action.copy_(state["action"])
        self.previous_action.copy_(state["previous_action"])
        self.joint_action.copy_(state["joint_action"])


class HandedAction(JointAction):
    """Bookkeeping for actions that end in one primitive per hand (left, right), where the robot has hands.

    `finger_primitive` is `discrete` (primitive >= 0 closes the hand, below 0 opens it) or `linear` (from open at -1 to closed at 1).
    With `command.use_motion_hand_actions` the primitives are the motion's, and what the policy says of the hands is not heard.
    """

    def __init__(self, env: TrackingEnv, num_body_actions: int, finger_primitive: str) -> None:
        if finger_primitive not in ("discrete", "linear"):
            raise ConfigError(f"action.params.finger_primitive: got {finger_primitive!r}, allowed: 'discrete', 'linear'")
        hands = [env.robot.hands[side] for side in ("left", "right") if side in env.robot.hands]
        super().__init__(env, num_body_actions + len(hands))
        self._num_body_actions = num_body_actions
        self._linear = finger_primitive == "linear"
        self._hand_ids = [env.joint_ids(hand.joints) for hand in hands]
        self._open = [torch.tensor(hand.open_action, device=env.device) for hand in hands]
        self._closed = [torch.tensor(hand.closed_action, device=env.device) for hand in hands]
        self._led_by_motion = env.cfg.command.use_motion_hand_actions and bool(hands)
        self.primitives = torch.zeros(env.num_envs, len(hands), device=env.device)
        self.primitive_limit = 1.0 if self._linear else 0.5
        if env.cfg.command.use_motion_hand_actions and not bool(env.motions.has_hand_action.all()):
            raise DataError(
                "use_motion_hand_actions=True but hand_action_left/right not found in motion data. Prepare the library with hand "
                "actions (the `_ha` folder), or set command.use_motion_hand_actions=false."
            )

    def split(self, action: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Split an action (N, num_actions): the body's part (N, B), and the primitives that count (N, hands), which are stored."""
        body = action[:, : self._num_body_actions]
        self.primitives.copy_(self._env.reference.hand_action if self._led_by_motion else action[:, self._num_body_actions :])
        return body, self.primitives

    def move_hands(self, joint_action: torch.Tensor) -> None:
        """Write the raw joint actions that the stored primitives mean into `joint_action` (N, J)."""
        for i, ids in enumerate(self._hand_ids):
            primitive = self.primitives[:, i : i + 1]
            closed = (primitive.clamp(-1.0, 1.0) + 1.0) / 2.0 if self._linear else (primitive >= 0.0).to(joint_action.dtype)
            joint_action[:, ids] = torch.lerp(self._open[i], self._closed[i], closed)

    def reset(self, mask: torch.Tensor) -> None:
        """Forget the actions of the environments in the mask (N,)."""
        super().reset(mask)
        self.primitives.masked_fill_(mask.unsqueeze(1), 0.0)

    def state_dict(self) -> dict[str, torch.Tensor]:
        """Return the stored actions."""
        return {**super().state_dict(), "primitives": self.primitives.clone()}

    def load_state_dict(self, state: dict[str, torch.Tensor]) -> None:
        """Restore the stored actions."""
        super().load_state_dict(state)
        self.primitives.copy_(state["primitives"])


class joint_position(JointAction):  # noqa: N801 - terms are named as they are written in a config
    """Move the joints that motions describe about the default pose: target = default + scale * action.

    Joints that motions do not describe (hands) are held at their default.
    """

    def __init__(self, env: TrackingEnv) -> None:
        super().__init__(env, env.robot.num_motion_joints)

    @property
    def joint_targets(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Return each joint's default position, without the offset of events, and its scale [rad]."""
        joints = self._env.robot.joints[: self.num_actions]
        return tuple(joint.default_pos for joint in joints), tuple(joint.action_scale for joint in joints)

    def apply(self, action: torch.Tensor) -> torch.Tensor:
        """Turn the policy's output (N, num_motion_joints) into joint position targets (N, J) [rad]."""
        joint_action = torch.zeros_like(self.joint_action)
        joint_action[:, : self.num_actions] = action
        return self._env.default_joint_pos + self.remember(action, joint_action)


class joint_residual(HandedAction):  # noqa: N801
    """Move the joints about the reference: target = reference joint + scale * action, hands by one primitive each.

    The action is 29 joint residuals, then one hand primitive per hand (left, right) where the robot has hands. The reference is the
    frame that the coming reward is computed on. Works without any pretrained model.

    `finger_primitive` is `discrete` (primitive >= 0 closes the hand, below 0 opens it) or `linear` (from open at -1 to closed at 1).
    """

    def __init__(self, env: TrackingEnv, finger_primitive: str = "discrete") -> None:
        self._body = env.robot.num_motion_joints
        super().__init__(env, self._body, finger_primitive)
        self._reference = env.default_joint_pos - env.joint_offset  # (N, J); the hands' joints stay at their default

    def apply(self, action: torch.Tensor) -> torch.Tensor:
        """Turn the policy's output (N, 29 + hands) into joint position targets (N, J) [rad]."""
        body, primitives = self.split(action)
        joint_action = torch.zeros_like(self.joint_action)
        joint_action[:, : self._body] = body
        self.move_hands(joint_action)
        self._reference[:, : self._body] = self._env.reference.joint_pos
        scaled = self.remember(torch.cat((body, primitives), dim=1), joint_action)
        return self._reference + self._env.joint_offset + scaled
