"""The actor-critic: the contract PPO trains, and the built-in `mlp`."""

from __future__ import annotations

import abc
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import torch
from torch import nn
from torch.nn import functional

from grail_framework.errors import ConfigError, suggest
from grail_framework.learning import gaussian
from grail_framework.learning.normalization import RunningMeanStd

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

ACTIVATIONS: Final[dict[str, type[nn.Module]]] = {
    "elu": nn.ELU,
    "gelu": nn.GELU,
    "leaky_relu": nn.LeakyReLU,
    "relu": nn.ReLU,
    "selu": nn.SELU,
    "silu": nn.SiLU,
    "tanh": nn.Tanh,
}


class PolicyOutput(NamedTuple):
    """What one forward pass gives; B is the number of observations, A the number of actions."""

    actions: torch.Tensor
    """(B, A), sampled or as given."""
    log_prob: torch.Tensor
    """(B,), of `actions`."""
    entropy: torch.Tensor
    """(B,) [nat]."""
    mean: torch.Tensor
    """(B, A)."""
    std: torch.Tensor
    """(B, A)."""
    value: torch.Tensor
    """(B,)."""
    aux_losses: dict[str, torch.Tensor]
    """Scalars, each already times its coefficient; empty while actions are sampled."""


class ActorCritic(nn.Module, abc.ABC):
    """One module for actor and critic, so that one backward pass feeds all hooks of a data-parallel wrapper.

    A subclass gives `action_mean`, `value` and the critic's parameters. The standard deviation is a parameter of its own, used
    directly (not its logarithm) and kept within bounds by `project_`.
    """

    def __init__(self, num_actions: int, *, init_noise_std: float, min_noise_std: float, max_noise_std: float) -> None:
        super().__init__()
        if not 0.0 < min_noise_std <= init_noise_std <= max_noise_std:
            raise ConfigError(
                f"init_noise_std {init_noise_std} must lie in [min_noise_std, max_noise_std] = [{min_noise_std}, {max_noise_std}]"
            )
        self.num_actions = num_actions
        self.min_noise_std = min_noise_std
        self.max_noise_std = max_noise_std
        self.std = nn.Parameter(torch.full((num_actions,), init_noise_std))

    @abc.abstractmethod
    def action_mean(self, observations: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """Return the deterministic action (B, A) for observation groups (B, width)."""

    @abc.abstractmethod
    def value(self, observations: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """Return the value estimate (B,) for observation groups (B, width)."""

    @abc.abstractmethod
    def critic_parameters(self) -> Iterator[nn.Parameter]:
        """Yield the parameters that `PpoCfg.critic_learning_rate` applies to; all others are the actor's."""

    def aux_losses(self, observations: Mapping[str, torch.Tensor], mean: torch.Tensor) -> dict[str, torch.Tensor]:
        """Return losses added to PPO's, scalars, each times its coefficient; `mean` is `action_mean(observations)`."""
        return {}

    def update_normalization(
        self,
        observations: Mapping[str, torch.Tensor],
        reduce_sum: Callable[[torch.Tensor], torch.Tensor] | None = None,
    ) -> None:
        """Merge a rollout's observations (T, N, width) into the input normalisers, once per iteration; none by default."""

    @torch.no_grad()
    def project_(self) -> None:
        """Bring constrained parameters back into their range; called after every optimiser step."""
        self.std.clamp_(self.min_noise_std, self.max_noise_std)

    def forward(self, observations: Mapping[str, torch.Tensor], actions: torch.Tensor | None = None) -> PolicyOutput:
        """Evaluate the policy and the value.

        Without `actions` they are sampled; with `actions` (B, A) their density is evaluated and auxiliary losses are added.
        """
        # float32 where mixed precision gave less: the densities of a narrow policy need it, and so does the sampled noise.
        mean = self.action_mean(observations).float()
        std = self.std.expand_as(mean)
        if actions is None:
            actions = mean + std * torch.randn_like(mean)
            aux_losses: dict[str, torch.Tensor] = {}
        else:
            aux_losses = self.aux_losses(observations, mean)
        return PolicyOutput(
            actions=actions,
            # Of the (A,) parameter, not of its (B, A) view: as many logarithms fewer as there are observations.
            log_prob=gaussian.log_prob(actions, mean, self.std),
            entropy=gaussian.entropy(self.std).expand(mean.shape[:-1]),
            mean=mean,
            std=std,
            value=self.value(observations).float(),
            aux_losses=aux_losses,
        )


class AlignedLinear(nn.Linear):
    """A linear layer that gives a GPU rows of whole 16 bytes: zeros are appended to inputs and weights of another width.

    Tensor cores are fed 16 bytes at a time, and far slower kernels step in where rows begin elsewhere (NVIDIA's guide to the
    performance of matrix products). Parameters and result are those of `nn.Linear`.
    """

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        """Map (B, in_features) to (B, out_features)."""
        lacking = -self.in_features % 8  # of 2-byte numbers, the narrowest that mixed precision uses
        if lacking == 0 or not input.is_cuda:
            return super().forward(input)
        return self.forward_padded(input, lacking)

    def forward_padded(self, input: torch.Tensor, zeros: int) -> torch.Tensor:
        """Do the same with so many zeros appended to each row."""
        return functional.linear(functional.pad(input, (0, zeros)), functional.pad(self.weight, (0, zeros)), self.bias)


def build_mlp(in_dim: int, hidden_dims: Sequence[int], out_dim: int, activation: str) -> nn.Sequential:
    """Build linear layers with activations between them, linear at the end; the layers sit at the even indices.

    Raises:
        ConfigError: an unknown activation.
    """
    if activation not in ACTIVATIONS:
        raise ConfigError(f"activation: got {activation!r}; {suggest(activation, ACTIVATIONS)}")
    layers: list[nn.Module] = []
    for width in hidden_dims:
        layers += [AlignedLinear(in_dim, width), ACTIVATIONS[activation]()]
        in_dim = width
    return nn.Sequential(*layers, AlignedLinear(in_dim, out_dim))


class MlpHead(nn.Module):
    """An MLP with an optional input normaliser (eps 1e-5, clamped to +-5)."""

    def __init__(self, in_dim: int, hidden_dims: Sequence[int], out_dim: int, activation: str, *, normalize: bool) -> None:
        super().__init__()
        self.running_mean_std = RunningMeanStd(in_dim) if normalize else None
        self.module = build_mlp(in_dim, hidden_dims, out_dim, activation)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (B, in_dim) to (B, out_dim)."""
        return self.module(x if self.running_mean_std is None else self.running_mean_std(x))


class MlpActorCritic(ActorCritic):
    """Two MLPs: the actor reads the observation group `policy`, the critic the group `critic`."""

    def __init__(self, actor: MlpHead, critic: MlpHead, num_actions: int, **noise_std: float) -> None:
        super().__init__(num_actions, **noise_std)
        self.actor_module = actor
        self.critic_module = critic

    def action_mean(self, observations: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """Return the deterministic action (B, A)."""
        return self.actor_module(observations["policy"])

    def value(self, observations: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """Return the value estimate (B,)."""
        return self.critic_module(observations["critic"]).squeeze(-1)

    def critic_parameters(self) -> Iterator[nn.Parameter]:
        """Yield the critic's parameters."""
        return self.critic_module.parameters()

    def update_normalization(
        self,
        observations: Mapping[str, torch.Tensor],
        reduce_sum: Callable[[torch.Tensor], torch.Tensor] | None = None,
    ) -> None:
        """Merge a rollout's observations (T, N, width) into the normalisers that are on."""
        for head, group in ((self.actor_module, "policy"), (self.critic_module, "critic")):
            if head.running_mean_std is not None:
                head.running_mean_std.update(observations[group], reduce_sum)


def mlp(
    actor_obs_dim: int,
    critic_obs_dim: int,
    num_actions: int,
    *,
    actor_hidden_dims: Sequence[int] = (512, 256, 128),
    critic_hidden_dims: Sequence[int] = (512, 256, 128),
    activation: str = "silu",
    normalize_actor: bool = False,
    normalize_critic: bool = False,
    init_noise_std: float = 0.05,
    min_noise_std: float = 0.001,
    max_noise_std: float = 0.5,
) -> ActorCritic:
    """Build the actor-critic registered as network `mlp`.

    Raises:
        ConfigError: an unknown activation, or an initial standard deviation outside its bounds.
    """
    actor = MlpHead(actor_obs_dim, actor_hidden_dims, num_actions, activation, normalize=normalize_actor)
    critic = MlpHead(critic_obs_dim, critic_hidden_dims, 1, activation, normalize=normalize_critic)
    noise: dict[str, Any] = {
        "init_noise_std": init_noise_std,
        "min_noise_std": min_noise_std,
        "max_noise_std": max_noise_std,
    }
    return MlpActorCritic(actor, critic, num_actions, **noise)
