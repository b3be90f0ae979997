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

    reads: tuple[str, ...] | None = None
    """Observation groups that the network reads: the only ones a rollout keeps. None: all that the environment gives."""

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

    def action_mean_and_losses(self, observations: Mapping[str, torch.Tensor]) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """Return `action_mean` and `aux_losses`; to be overridden where the losses are of what is computed on the way."""
        mean = self.action_mean(observations).float()
        return mean, self.aux_losses(observations, mean)

    def update_normalization(
        self,
        observations: Mapping[str, torch.Tensor],
        reduce_sum: Callable[[torch.Tensor], torch.Tensor] | None = None,
    ) -> None:
        """Merge a rollout's observations (T, N, width) into the input normalisers, once per iteration; none by default."""

    def after_update(
        self,
        observations: Mapping[str, torch.Tensor],
        reduce_sum: Callable[[torch.Tensor], torch.Tensor] | None = None,
    ) -> dict[str, torch.Tensor]:
        """Do with a rollout's observations (T, N, width) what is no part of PPO, once per iteration; nothing by default.

        Called after PPO's update and `update_normalization`. Returns scalars on the device to report, by metric name.
        """
        return {}

    @torch.no_grad()
    def project_(self) -> None:
        """Bring constrained parameters back into their range; called after every optimiser step."""
        self.std.clamp_(self.min_noise_std, self.max_noise_std)

    def forward(self, observations: Mapping[str, torch.Tensor], actions: torch.Tensor | None = None) -> PolicyOutput:
        """Evaluate the policy and the value.

        Without `actions` they are sampled; with `actions` (B, A) their density is evaluated and auxiliary losses are added.
        """
        aux_losses: dict[str, torch.Tensor] = {}
        if actions is None:
            mean = self.action_mean(observations)
        else:
            mean, aux_losses = self.action_mean_and_losses(observations)
        # float32 where mixed precision gave less: the densities of a narrow policy need it, and so does the sampled noise.
        mean = mean.float()
        std = self.std.expand_as(mean)
        if actions is None:
            actions = mean + std * torch.randn_like(mean)
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

    def update_normalization(self, x: torch.Tensor, reduce_sum: Callable[[torch.Tensor], torch.Tensor] | None = None) -> None:
        """Merge inputs (T, N, in_dim) of a rollout into the normaliser, where there is one."""
        if self.running_mean_std is not None:
            self.running_mean_std.update(x, reduce_sum)


class MlpCritic(ActorCritic):
    """An actor-critic whose critic is an MLP that reads the group `critic`; a subclass sets it, after its actor."""

    critic_module: MlpHead

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
        """Merge a rollout's observations (T, N, width) into the critic's normaliser, where it is on."""
        self.critic_module.update_normalization(observations["critic"], reduce_sum)


class MlpActorCritic(MlpCritic):
    """Two MLPs: the actor reads the observation group `policy`, the critic the group `critic`.

    With `latent_l2_coef` the mean of the first `latent_dim` actions, which correct a frozen latent, is kept small.
    """

    reads = ("policy", "critic")

    def __init__(
        self, actor: MlpHead, critic: MlpHead, num_actions: int, *, latent_l2_coef: float, latent_dim: int, **noise_std: float
    ) -> None:
        super().__init__(num_actions, **noise_std)
        if latent_l2_coef and not 0 < latent_dim <= num_actions:
            raise ConfigError(
                f"network.params.latent_dim={latent_dim}: the loss latent_l2 is of the first latent_dim actions, and the action has "
                f"{num_actions}; remove network.params.latent_l2_coef where no latent is corrected"
            )
        self.actor_module = actor
        self.critic_module = critic
        self.latent_l2_coef = latent_l2_coef
        self.latent_dim = latent_dim

    def action_mean(self, observations: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """Return the deterministic action (B, A)."""
        return self.actor_module(observations["policy"])

    def aux_losses(self, observations: Mapping[str, torch.Tensor], mean: torch.Tensor) -> dict[str, torch.Tensor]:
        """Return `latent_l2`, the mean square of the latent part of the mean action, where it has a coefficient."""
        if not self.latent_l2_coef:
            return {}
        return {"latent_l2": self.latent_l2_coef * mean[:, : self.latent_dim].square().mean()}

    def update_normalization(
        self,
        observations: Mapping[str, torch.Tensor],
        reduce_sum: Callable[[torch.Tensor], torch.Tensor] | None = None,
    ) -> None:
        """Merge a rollout's observations (T, N, width) into the normalisers that are on."""
        self.actor_module.update_normalization(observations["policy"], reduce_sum)
        super().update_normalization(observations, reduce_sum)


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
    latent_l2_coef: float = 0.0,
    latent_dim: int = 64,
    init_noise_std: float = 0.05,
    min_noise_std: float = 0.001,
    max_noise_std: float = 0.5,
) -> ActorCritic:
    """Build the actor-critic registered as network `mlp`.

    `latent_l2_coef` weighs the loss `latent_l2`, the mean square of the first `latent_dim` numbers of the mean action (GRAIL release:
    0.1 where actions correct the latent of a frozen policy).

    Raises:
        ConfigError: an unknown activation, an initial standard deviation outside its bounds, or fewer actions than `latent_dim`.
    """
    actor = MlpHead(actor_obs_dim, actor_hidden_dims, num_actions, activation, normalize=normalize_actor)
    critic = MlpHead(critic_obs_dim, critic_hidden_dims, 1, activation, normalize=normalize_critic)
    noise: dict[str, Any] = {
        "init_noise_std": init_noise_std,
        "min_noise_std": min_noise_std,
        "max_noise_std": max_noise_std,
    }
    return MlpActorCritic(actor, critic, num_actions, latent_l2_coef=latent_l2_coef, latent_dim=latent_dim, **noise)
