"""Where a policy from nothing starts: at the actions that put the joints where the reference has them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

import torch
from torch import nn
from torch.nn import functional

from grail_framework.errors import ConfigError
from grail_framework.learning.universal_token.losses import latent_range

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from grail_framework.learning.universal_token.layout import TokenizerLayout
    from grail_framework.learning.universal_token.module import UniversalTokenModule

JOINTS: Final = "command_multi_future_nonflat"
"""The term of `tokenizer` whose first numbers are the reference's joint positions now."""
STEPS: Final = 100
"""Of the optimiser, after each rollout that is learned from. [-]"""
PARTS: Final = 4
"""Batches that a rollout is cut into. [-]"""
LEARNING_RATE: Final = 3e-4


class JointTargets(NamedTuple):
    """What actions (N, A) are to joints: target = default + scale * action."""

    default: Sequence[float]
    """Of each action's joint. [rad]"""
    scale: Sequence[float]
    """Of each action. [rad]"""


class Imitation(nn.Module):
    """Teach a new actor the actions whose joint targets are the reference's joint positions, after each of the first rollouts.

    A policy that acts about the default pose has to find out what a residual about the reference is given: to go where the reference
    goes. Rewards take long to say so. A few hundred steps of regression say it at once, without the simulator, and PPO goes on from
    there. It has an optimiser of its own: the rate of PPO's falls to its lower bound where the policy changes as fast as this.

    Args:
        targets: what actions are to joints.
        layout: of the tokenizer vector, which has the reference.
        rollouts: how many are learned from. [-]
        range_coef: weight of `losses.latent_range`, which is learned beside.

    Raises:
        ConfigError: the vector has no reference joints, or there is less than one rollout.
    """

    left: torch.Tensor
    """Rollouts that are yet to be learned from."""
    default: torch.Tensor
    scale: torch.Tensor

    def __init__(self, targets: JointTargets, layout: TokenizerLayout, *, rollouts: int, range_coef: float = 0.0) -> None:
        super().__init__()
        if rollouts < 1:
            raise ConfigError(f"network.params.imitated_rollouts={rollouts}: a number of rollouts, or 0 for none")
        joints = len(targets.default)
        if layout.widths.get(JOINTS, 0) < joints:
            raise ConfigError(
                f"network.params.imitated_rollouts={rollouts} needs the reference's {joints} joints, in the term {JOINTS!r} of the "
                f"observation group `tokenizer`; it has {', '.join(layout.widths)}. Add the term, or set imitated_rollouts=0"
            )
        start = layout.slices[JOINTS].start
        self._columns = slice(start, start + joints)
        self._range_coef = range_coef
        self._left = rollouts  # the same number where Python can read it without waiting for a device
        self.register_buffer("left", torch.tensor(rollouts))
        self.register_buffer("default", torch.tensor(targets.default), persistent=False)
        self.register_buffer("scale", torch.tensor(targets.scale), persistent=False)
        self.register_load_state_dict_post_hook(_read_left)

    def wanted(self, tokenizer: torch.Tensor) -> torch.Tensor:
        """Return the actions (B, A) of the reference in tokenizer vectors (B, width)."""
        return (tokenizer[:, self._columns] - self.default) / self.scale

    def learn(
        self,
        module: UniversalTokenModule,
        observations: Mapping[str, torch.Tensor],
        reduce_sum: Callable[[torch.Tensor], torch.Tensor] | None,
    ) -> torch.Tensor | None:
        """Let the module learn from a rollout's observations (T, N, width), if it is one of the first; return the last loss then.

        `reduce_sum` adds a tensor up over the ranks, which take the same steps.
        """
        if self._left == 0:
            return None
        self._left -= 1
        self.left.sub_(1)
        # Every part has all moments of the rollout, and all ranks as many parts.
        tokenizer, proprioception = (observations[group].flatten(0, 1) for group in ("tokenizer", "policy"))
        parameters = [
            value for name, value in module.named_parameters() if ".g1_kin." not in f".{name}" and value.requires_grad
        ]
        optimizer = torch.optim.Adam(parameters, lr=LEARNING_RATE, fused=True)
        loss = torch.zeros((), device=tokenizer.device)
        with torch.enable_grad():
            for step in range(STEPS):
                part = slice(step % PARTS, None, PARTS)
                loss, beside = self._losses(module, tokenizer[part], proprioception[part])
                # Not `backward`, which a data-parallel wrapper listens to.
                gradients = torch.autograd.grad(loss + beside, parameters, materialize_grads=True)
                for parameter, gradient in zip(parameters, _averaged(gradients, reduce_sum), strict=True):
                    parameter.grad = gradient
                optimizer.step()
        optimizer.zero_grad()
        return loss.detach()

    def _losses(
        self, module: UniversalTokenModule, tokenizer: torch.Tensor, proprioception: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the mean squared error of the actions, and what is learned beside it."""
        latents = module.latents(tokenizer)
        actions = module.decode(module.quantize(module.choose(latents, tokenizer)), proprioception)
        return functional.mse_loss(actions, self.wanted(tokenizer)), self._range_coef * latent_range(latents)


def _averaged(
    gradients: Sequence[torch.Tensor], reduce_sum: Callable[[torch.Tensor], torch.Tensor] | None
) -> Sequence[torch.Tensor]:
    """Return gradients averaged over the ranks."""
    if reduce_sum is None:
        return gradients
    flat = torch.cat([*(gradient.flatten() for gradient in gradients), gradients[0].new_ones(1)])
    *total, ranks = reduce_sum(flat).split([*(gradient.numel() for gradient in gradients), 1])
    return [part.view_as(gradient) / ranks for part, gradient in zip(total, gradients, strict=True)]


def _read_left(module: Any, _keys: Any) -> None:
    module._left = int(module.left)
