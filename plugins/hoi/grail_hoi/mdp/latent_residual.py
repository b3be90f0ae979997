"""The action of manipulation: a residual on the latent of a frozen base policy, which moves the body, and one primitive per hand."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal, get_args

import torch

from grail_framework.errors import CheckpointError, ConfigError, EnvContractError
from grail_framework.learning.universal_token.fsq import level_use
from grail_framework.mdp.actions import HandedAction
from grail_hoi.base_files import DEFAULT_BASE, HOW_TO_GET_ONE, check_present, find_base
from grail_hoi.base_policy import check_groups, check_robot, frozen_module, read_base

if TYPE_CHECKING:
    from collections.abc import Mapping

    from grail_framework.envs.tracking_env import TrackingEnv

Mode = Literal["pre_quantization", "post_quantization", "pre_quantization_replace"]


class latent_residual(HandedAction):  # noqa: N801 - terms are named as they are written in a config
    """Add to the latent of a frozen base policy and let its decoder move the body; hands move by one primitive each (GRAIL release).

    The action is one residual per element of the latent (64), then one hand primitive per hand (left, right) where the robot has hands.
    The base's encoder reads the observation group `tokenizer`, its decoder the tokens and the group `policy_atm`, both as the last step
    or reset returned them. The decoder's actions of the joints that motions describe, and the hands' raw actions, are clipped to +-20;
    target = default + scale * action. The base runs once per step, without gradient, and learns nothing.

    Args:
        env: the environment.
        mode: `pre_quantization`: the tokens are the quantised sum of latent and residual; `post_quantization`: the sum of the quantised
            latent and the residual; `pre_quantization_replace`: the quantised residual, whatever the encoder says.
        scale: what the policy's residual is multiplied by; 0: the base alone moves the body. [-]
        finger_primitive: `discrete` (primitive >= 0 closes the hand, below 0 opens it) or `linear` (open at -1 to closed at 1).
        base_checkpoint: the base policy: a file, a bundle's folder or a run directory; None: models/sonic_manipulation_base.
        base_config: its model_config.yaml; None: the one beside it.
        base_inputs: terms of `tokenizer` that its encoder reads, in order; None: as its file says, or as in the public configurations.

    Raises:
        ConfigError: an unknown mode or finger primitive, or a scale that is negative or not finite.
        CheckpointError: there is no base policy, or the one named is not there or cannot be read.
        DataError: the hands should follow motions that have no hand actions.
    """

    def __init__(
        self,
        env: TrackingEnv,
        mode: Mode = "pre_quantization",
        scale: float = 0.1,
        finger_primitive: str = "discrete",
        base_checkpoint: str | None = None,
        base_config: str | None = None,
        base_inputs: tuple[str, ...] | None = None,
    ) -> None:
        if mode not in get_args(Mode):
            raise ConfigError(f"action.params.mode: got {mode!r}, allowed: {', '.join(map(repr, get_args(Mode)))}")
        if not 0.0 <= scale < math.inf:
            raise ConfigError(f"action.params.scale: got {scale}, allowed: a finite number of at least 0")
        found = find_base(base_checkpoint)
        if found is None:
            raise CheckpointError(
                f"the action latent_residual needs a base policy, and {DEFAULT_BASE} is not there. {HOW_TO_GET_ONE}"
            )
        base = read_base(found, base_config)
        super().__init__(env, base.latent_width, finger_primitive)
        self._mode = mode
        self._residual_scale = scale
        self._base_path = found
        self._base_config = base_config
        self._base_inputs = base_inputs
        self._digest = base.digest
        self.latent = torch.zeros(env.num_envs, base.latent_width, device=env.device)
        """The tokens that the decoder acted on last, one after the other (N, 64)."""
        self.previous_latent = torch.zeros_like(self.latent)
        """Those of the step before (N, 64)."""

    def bind_observations(self, layouts: Mapping[str, Mapping[str, int]]) -> None:
        """Make the network for the groups' terms and widths.

        Raises:
            CheckpointError: the base policy reads or moves something else than the environment has.
            ConfigError: a group is missing.
        """
        check_present(layouts)
        base = read_base(self._base_path, self._base_config)
        module = frozen_module(base, layouts["tokenizer"], inputs=self._base_inputs, device=self._env.device)
        check_groups(base, module, layouts)
        check_robot(base, module, self._env.robot)
        # Methods, not the module: constants are none of the memory that a captured step is compared by.
        self._encode, self._quantize, self._decode = module.encode, module.quantize, module.decode
        self._token_shape = (module.num_tokens, module.token_dim)
        self._levels = module.quantizer.levels

    @torch.no_grad()
    def apply(self, action: torch.Tensor) -> torch.Tensor:
        """Turn the policy's output (N, 64 + hands) into joint position targets (N, J) [rad]."""
        observations = self._env.observations
        if not observations:
            raise EnvContractError(
                "the action latent_residual reads the last observations, and there are none: call env.reset() first"
            )
        residual, primitives = self.split(action)
        tokens = self._tokens(self._residual_scale * residual.unflatten(1, self._token_shape), observations["tokenizer"])
        self.previous_latent.copy_(self.latent)
        self.latent.copy_(tokens.flatten(1))
        joint_action = torch.zeros_like(self.joint_action)
        joint_action[:, : self._env.robot.num_motion_joints] = self._decode(tokens, observations["policy_atm"])
        self.move_hands(joint_action)
        scaled = self.remember(torch.cat((residual, primitives), dim=1), joint_action)
        return self._env.default_joint_pos + scaled

    def _tokens(self, residual: torch.Tensor, tokenizer: torch.Tensor) -> torch.Tensor:
        """Return what the decoder reads (N, tokens, width)."""
        if self._mode == "pre_quantization_replace":
            return self._quantize(residual)
        latent = self._encode(tokenizer)
        if self._mode == "pre_quantization":
            return self._quantize(latent + residual)
        return self._quantize(latent) + residual

    def metrics(self) -> dict[str, torch.Tensor]:
        """Return how far the residual moves the latent, as a mean Euclidean norm, and what share of its levels the tokens make use of."""
        residual = self._residual_scale * self.action[:, : self.latent.shape[1]]
        return {
            "residual_norm": torch.linalg.vector_norm(residual, dim=1).mean(),
            "quantiser_use": level_use(self.latent, self._levels),
        }

    def reset(self, mask: torch.Tensor) -> None:
        """Forget actions and tokens of the environments in the mask (N,)."""
        super().reset(mask)
        for buffer in (self.latent, self.previous_latent):
            buffer.masked_fill_(mask.unsqueeze(1), 0.0)

    def state_dict(self) -> dict[str, torch.Tensor]:
        """Return the stored actions and tokens, and which base policy they are of."""
        own = {
            "latent": self.latent.clone(),
            "previous_latent": self.previous_latent.clone(),
            "base_digest": _bytes(self._digest),
        }
        return {**super().state_dict(), **own}

    def load_state_dict(self, state: dict[str, torch.Tensor]) -> None:
        """Restore the stored actions and tokens.

        Raises:
            CheckpointError: they are of another base policy.
        """
        theirs = bytes(state["base_digest"].cpu().tolist())
        if theirs != self._digest:
            raise CheckpointError(
                f"the run was trained on a base policy with the digest {theirs.hex()[:12]}, and {self._base_path} has "
                f"{self._digest.hex()[:12]}: name the one it was trained on with action.params.base_checkpoint=..., or start in a new "
                "run directory with --checkpoint"
            )
        super().load_state_dict(state)
        self.latent.copy_(state["latent"])
        self.previous_latent.copy_(state["previous_latent"])


def _bytes(value: bytes) -> torch.Tensor:
    return torch.tensor(list(value), dtype=torch.uint8)
