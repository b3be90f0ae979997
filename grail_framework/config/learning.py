"""Configuration of learning, logging, checkpoints and evaluation."""

from __future__ import annotations

from typing import Any

import attrs

from grail_framework.config.validators import at_least, between, non_negative, one_of, positive


@attrs.frozen(kw_only=True)
class NetworkCfg:
    """The actor-critic."""

    func: str = "mlp"
    """Registry name of the network."""
    params: dict[str, Any] = attrs.field(factory=dict)
    """Keyword arguments of the network."""


@attrs.frozen(kw_only=True)
class PpoCfg:
    """Hyperparameters of PPO; names and meaning as in the GRAIL release."""

    num_steps_per_env: int = attrs.field(default=24, validator=at_least(1))
    """Length of a rollout. [control steps]"""
    num_learning_epochs: int = attrs.field(default=5, validator=at_least(1))
    """Passes over a rollout. [-]"""
    num_mini_batches: int = attrs.field(default=4, validator=at_least(1))
    """Mini-batches per pass, split over environments (whole sequences); must divide num_envs. [-]"""
    shuffle_every_epoch: bool = True
    """Draw a new split of the environments for every pass."""
    clip_param: float = attrs.field(default=0.2, validator=positive())
    """Clip range of the probability ratio, and of the value where clipped. [-]"""
    use_clipped_value_loss: bool = True
    """Clip the value update as well."""
    gamma: float = attrs.field(default=0.99, validator=between(0.0, 1.0))
    """Discount. [-]"""
    lam: float = attrs.field(default=0.95, validator=between(0.0, 1.0))
    """GAE's lambda. [-]"""
    value_loss_coef: float = attrs.field(default=1.0, validator=non_negative())
    """Weight of the value loss. [-]"""
    entropy_coef: float = attrs.field(default=0.01, validator=non_negative())
    """Weight of the entropy bonus. [-]"""
    learning_rate: float = attrs.field(default=2e-5, validator=positive())
    """Initial learning rate (of actor and critic together unless critic_learning_rate is set). [-]"""
    critic_learning_rate: float | None = attrs.field(default=None, validator=positive())
    """A fixed learning rate of the critic's own; None: the critic shares the adaptive one. [-]"""
    schedule: str = attrs.field(default="adaptive", validator=one_of("adaptive", "fixed"))
    """`adaptive`: the learning rate follows the KL divergence."""
    desired_kl: float = attrs.field(default=0.01, validator=positive())
    """Above twice of it the rate falls by 1.5, below half of it the rate grows by 1.5. [nat]"""
    min_learning_rate: float = attrs.field(default=1e-5, validator=positive())
    """Lower bound of the adaptive rate. [-]"""
    max_learning_rate: float = attrs.field(default=2e-4, validator=positive())
    """Upper bound of the adaptive rate. [-]"""
    max_grad_norm: float = attrs.field(default=0.1, validator=positive())
    """Joint gradient norm bound of actor and critic. [-]"""
    weight_decay: float = attrs.field(default=0.0, validator=non_negative())
    """AdamW's weight decay. [-]"""
    init_noise_std: float = attrs.field(default=0.05, validator=positive())
    """Initial standard deviation of the policy. [-]"""
    min_noise_std: float = attrs.field(default=0.001, validator=positive())
    """Lower clamp of the standard deviation. [-]"""
    max_noise_std: float = attrs.field(default=0.5, validator=positive())
    """Upper clamp of the standard deviation. [-]"""
    aux_loss_scale: float = attrs.field(default=1.0, validator=non_negative())
    """Weight of the network's auxiliary losses together. [-]"""
    mixed_precision: str = attrs.field(default="no", validator=one_of("no", "bf16", "fp16"))
    """Accelerate's mixed precision."""
    tf32: bool = True
    """On a GPU, multiply float32 matrices with TF32 (10 bits of mantissa, float32 sums), as the GRAIL release and Isaac Lab do."""
    cuda_graphs: bool = True
    """On a GPU, record the policy's step and (one process, no fp16) the update into CUDA graphs; off: launch every operation."""


@attrs.frozen(kw_only=True)
class LoggingCfg:
    """Where the numbers go. Not part of the config digest."""

    tensorboard: bool = True
    """Write event files when tensorboard is installed."""
    wandb: bool = False
    """Log to Weights & Biases."""
    wandb_project: str | None = None
    """W&B project; None: the run's project."""
    wandb_entity: str | None = None
    """W&B entity; None: the account's default."""
    wandb_mode: str = attrs.field(default="auto", validator=one_of("auto", "online", "offline"))
    """`offline` keeps the W&B run in the run directory, for `wandb sync`; auto: as the variable WANDB_MODE says, else online."""
    writers: tuple[str, ...] = ()
    """Further writers, by registry name."""
    console: str = attrs.field(default="auto", validator=one_of("auto", "live", "plain", "off"))
    """Live panel, one plain line per iteration, or nothing; auto: live on a terminal."""


@attrs.frozen(kw_only=True)
class CheckpointCfg:
    """When checkpoints are written and which stay."""

    last_frequency: int = attrs.field(default=50, validator=at_least(1))
    """A checkpoint is written and `last.pt` moved to it this often. [iterations]"""
    save_frequency: int = attrs.field(default=500, validator=at_least(1))
    """Checkpoints at multiples of this stay; others are pruned when a newer one is whole. [iterations]"""


@attrs.frozen(kw_only=True)
class EvaluationCfg:
    """The short evaluation that `grail run` makes: the motions it trains, until each has failed."""

    at_start: bool = True
    """Tracked fraction of the untrained policy and of zero action before the first iteration."""
    at_end: bool = True
    """Tracked fraction of the trained policy after the last iteration."""
    every: int | None = attrs.field(default=500, validator=at_least(1))
    """Evaluate this often while training and report it with the metrics; None: never. [iterations]"""


@attrs.frozen(kw_only=True)
class DistributedCfg:
    """Processes of the run; set by the launcher, checked here."""

    timeout_s: float = attrs.field(default=6000.0, validator=positive())
    """How long a collective may take. [s]"""
