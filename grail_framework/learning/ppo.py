"""Proximal policy optimisation (Schulman et al. 2017) with the adaptive learning rate of legged-robot training.

The update never waits for the device: learning rate, KL rule and the skip of a non-finite gradient are tensor operations. What is
done per mini-batch works on tensors that stay where they are, so that a GPU can replay it (`learning.capture`).
"""

from __future__ import annotations

import copy
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, cast

import torch

from grail_framework.errors import CheckpointError, ConfigError
from grail_framework.learning import gaussian
from grail_framework.learning.advantages import generalized_advantages, normalize_advantages
from grail_framework.learning.capture import Replay, captures_learning
from grail_framework.learning.distributed import sum_over_ranks
from grail_framework.learning.statistics import ScalarSums

if TYPE_CHECKING:
    from collections.abc import Iterator

    from accelerate import Accelerator

    from grail_framework.config import PpoCfg
    from grail_framework.learning.networks import ActorCritic, PolicyOutput
    from grail_framework.learning.storage import MiniBatch, RolloutStorage


def check_mini_batches(num_envs: int, num_mini_batches: int) -> None:
    """Demand that the environments split evenly into mini-batches.

    Raises:
        ConfigError: they do not; the nearest numbers of environments that do are named.
    """
    if num_envs % num_mini_batches == 0:
        return
    below = num_envs // num_mini_batches * num_mini_batches
    nearest = f"{below} or {below + num_mini_batches}" if below else f"{num_mini_batches}"
    raise ConfigError(
        f"num_envs={num_envs} cannot be split into algorithm.num_mini_batches={num_mini_batches} equal parts of whole "
        f"environments; use num_envs={nearest}, or another number of mini-batches"
    )


def adapted_learning_rate(learning_rate: torch.Tensor, kl: torch.Tensor, cfg: PpoCfg) -> torch.Tensor:
    """Return the rate, 1.5 times lower where `kl` is above twice the desired one, 1.5 times higher where below half of it.

    Both are scalars on the device. A KL of exactly 0 (the first mini-batch after a rollout) or NaN leaves the rate alone.
    """
    lower = (learning_rate / 1.5).clamp_min(cfg.min_learning_rate)
    higher = (learning_rate * 1.5).clamp_max(cfg.max_learning_rate)
    too_far = kl > 2.0 * cfg.desired_kl
    too_near = (kl < 0.5 * cfg.desired_kl) & (kl > 0.0)
    return torch.where(too_far, lower, torch.where(too_near, higher, learning_rate))


def surrogate_loss(output: PolicyOutput, batch: MiniBatch, clip_param: float) -> torch.Tensor:
    """Return the clipped surrogate loss, a scalar."""
    ratio = torch.exp(output.log_prob - batch.log_prob)
    clipped = ratio.clamp(1.0 - clip_param, 1.0 + clip_param)
    return -torch.minimum(ratio * batch.advantages, clipped * batch.advantages).mean()


def value_loss(output: PolicyOutput, batch: MiniBatch, clip_param: float | None) -> torch.Tensor:
    """Return the mean squared error of the value (no factor 1/2); with `clip_param` the larger of clipped and unclipped, a scalar."""
    error = (output.value - batch.returns).square()
    if clip_param is not None:
        clipped = batch.value + (output.value - batch.value).clamp(-clip_param, clip_param)
        error = torch.maximum(error, (clipped - batch.returns).square())
    return error.mean()


class Ppo:
    """The optimiser's side of training: owns the wrapped network, AdamW and the learning rate."""

    def __init__(self, network: ActorCritic, cfg: PpoCfg, accelerator: Accelerator) -> None:
        self.cfg = cfg
        self.accelerator = accelerator
        self.network = network
        self.learning_rate = torch.tensor(cfg.learning_rate, dtype=torch.float32, device=accelerator.device)
        network.to(accelerator.device)
        # Fused AdamW takes the rate as a tensor and, through `found_inf`, leaves out a step without asking the host.
        self._adamw = torch.optim.AdamW(self._parameter_groups(), weight_decay=cfg.weight_decay, fused=True)
        self.model, self.optimizer = accelerator.prepare(network, self._adamw)
        self._share_learning_rate()
        self._sum_over_ranks = sum_over_ranks(accelerator)
        self._totals = ScalarSums()
        self._rollout: RolloutStorage | None = None

    def update(self, rollout: RolloutStorage, last_value: torch.Tensor) -> dict[str, torch.Tensor]:
        """Learn from a rollout; `last_value` (N,) is the value after its last step. Returns scalars on the device.

        Raises:
            ConfigError: the environments do not split into mini-batches, or the network's part cannot be recorded (`Replay`).
        """
        self._attach(rollout)
        rollout.last_value.copy_(last_value)
        self._estimate()
        self._totals.clear()
        order = rollout.shuffled_envs()
        for epoch in range(self.cfg.num_learning_epochs):
            if epoch and self.cfg.shuffle_every_epoch:
                order = rollout.shuffled_envs()
            for envs in order.chunk(self.cfg.num_mini_batches):
                self._envs.copy_(envs)
                self._step()
        self.network.update_normalization(rollout.observations, self._sum_over_ranks)
        of_network = self.network.after_update(rollout.observations, self._sum_over_ranks)
        updates = self.cfg.num_learning_epochs * self.cfg.num_mini_batches
        metrics = self._totals.divided(updates) | {"policy/skipped_updates": self._totals.sum_of("policy/skipped_updates")}
        metrics |= {"policy/learning_rate": self.learning_rate, "policy/std": self.network.std.detach().mean()}
        return metrics | of_network

    @property
    def captured(self) -> bool:
        """Whether the next mini-batch will be learned from by replaying a CUDA graph."""
        return self._rollout is not None and self._step.captured

    def _attach(self, rollout: RolloutStorage) -> None:
        """Make what an update repeats, for the tensors of this rollout and of the optimiser: a record holds where they are."""
        if self._rollout is rollout:
            return
        check_mini_batches(rollout.num_envs, self.cfg.num_mini_batches)
        self._rollout = rollout
        self._envs = torch.zeros(rollout.num_envs // self.cfg.num_mini_batches, dtype=torch.int64, device=rollout.device)
        capture = captures_learning(self.cfg, self.accelerator)
        estimate = partial(self._estimate_advantages, rollout)
        self._estimate = Replay(estimate, rollout.device, capture=capture, what="the estimate of advantages")
        self._step = Replay(self._learn_from_envs, rollout.device, capture=capture, what="learning from a mini-batch")

    def _learn_from_envs(self) -> None:
        """Learn from the sequences of the environments `_envs`."""
        assert self._rollout is not None
        self._totals.add(self._learn(self._rollout.mini_batch(self._envs)))

    def _estimate_advantages(self, rollout: RolloutStorage) -> None:
        returns, advantages = generalized_advantages(
            rollout.rewards,
            rollout.value,
            rollout.terminated,
            rollout.truncated,
            rollout.last_value,
            gamma=self.cfg.gamma,
            lam=self.cfg.lam,
        )
        rollout.returns.copy_(returns)
        rollout.advantages.copy_(normalize_advantages(advantages, self._sum_over_ranks))

    def _learn(self, batch: MiniBatch) -> dict[str, torch.Tensor]:
        cfg = self.cfg
        output: PolicyOutput = self.model(batch.observations, batch.actions)
        kl = self._follow_kl(output, batch)

        surrogate = surrogate_loss(output, batch, cfg.clip_param)
        value = value_loss(output, batch, cfg.clip_param if cfg.use_clipped_value_loss else None)
        entropy = output.entropy.mean()
        loss = surrogate + cfg.value_loss_coef * value - cfg.entropy_coef * entropy
        for aux_loss in output.aux_losses.values():
            loss = loss + cfg.aux_loss_scale * aux_loss

        grad_norm, skipped = self._descend(loss)
        return {
            "loss/surrogate": surrogate.detach(),
            "loss/value": value.detach(),
            "loss/entropy": entropy.detach(),
            **{f"loss/{name}": aux_loss.detach() for name, aux_loss in output.aux_losses.items()},
            "policy/kl": kl,
            "policy/grad_norm": grad_norm.masked_fill(skipped > 0.0, 0.0),
            "policy/skipped_updates": skipped,
        }

    @torch.no_grad()
    def _follow_kl(self, output: PolicyOutput, batch: MiniBatch) -> torch.Tensor:
        kl = gaussian.kl_divergence(batch.mean, batch.std, output.mean, output.std).mean()
        if self._sum_over_ranks is not None:
            kl = self._sum_over_ranks(kl) / self.accelerator.num_processes
        if self.cfg.schedule == "adaptive":
            self.learning_rate.copy_(adapted_learning_rate(self.learning_rate, kl, self.cfg))
        return kl

    def _descend(self, loss: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Take one optimiser step; return the gradient norm and whether the step was left out (1.0) or not (0.0)."""
        self.optimizer.zero_grad(set_to_none=True)
        self.accelerator.backward(loss)
        # One norm over actor and critic, averaged over the ranks before, so that all of them skip or none.
        norm = cast("torch.Tensor", self.accelerator.clip_grad_norm_(self.model.parameters(), self.cfg.max_grad_norm))
        skipped = (~norm.isfinite()).to(torch.float32)
        setattr(self._adamw, "found_inf", skipped)  # noqa: B010  (AdamW reads it, but does not declare it)
        with self._capturable_optimizer():
            self.optimizer.step()
        self.network.project_()
        return norm, skipped

    @contextmanager
    def _capturable_optimizer(self) -> Iterator[None]:
        """Let AdamW step while a CUDA graph is recorded. Fused, it does nothing else then, but warns of the flag at other times."""
        recording = self.learning_rate.is_cuda and torch.cuda.is_current_stream_capturing()
        for group in self._adamw.param_groups:
            group["capturable"] = recording
        try:
            yield
        finally:
            for group in self._adamw.param_groups:
                group["capturable"] = False

    def _parameter_groups(self) -> list[dict[str, Any]]:
        critic = {id(parameter) for parameter in self.network.critic_parameters()}
        trained = [parameter for parameter in self.network.parameters() if parameter.requires_grad]
        groups = [[p for p in trained if id(p) not in critic], [p for p in trained if id(p) in critic]]
        return [{"params": group, "lr": self.learning_rate} for group in groups]

    def _share_learning_rate(self) -> None:
        """Point the optimiser at our tensors again: preparing it and loading its state copy them."""
        own = self.cfg.critic_learning_rate
        actor, critic = self._adamw.param_groups
        actor["lr"] = self.learning_rate
        critic["lr"] = self.learning_rate if own is None else torch.full_like(self.learning_rate, own)

    def state_dict(self) -> dict[str, Any]:
        """Return model, optimizer, learning_rate and, with fp16, the loss scale: tensors and plain values."""
        state: dict[str, Any] = {
            "model": dict(self.network.state_dict()),
            "optimizer": self._adamw.state_dict(),
            "learning_rate": self.learning_rate,
        }
        if self.accelerator.scaler is not None:
            state["scaler"] = self.accelerator.scaler.state_dict()
        return state

    def load_weights(self, state: dict[str, Any]) -> None:
        """Load the network alone, in place; the names and shapes must fit (`runs.checkpoint.check_model` says how they do not)."""
        self.network.load_state_dict(state["model"])

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Load network, optimiser state and learning rate.

        Raises:
            CheckpointError: the optimiser state is of other parameters.
        """
        self.load_weights(state)
        hyperparameters = [{k: v for k, v in group.items() if k != "params"} for group in self._adamw.param_groups]
        try:
            self._adamw.load_state_dict(copy.deepcopy(state["optimizer"]))  # it would go on using the tensors it is given
        except ValueError as error:
            raise CheckpointError(f"the checkpoint's optimiser state does not fit ({error}); use its weights alone") from error
        self._rollout = None  # a record would go on with the moments that were there before
        for group, own in zip(self._adamw.param_groups, hyperparameters, strict=True):
            group.update(own)  # the run's configuration, not the checkpoint's, decides these
        self.learning_rate.copy_(torch.as_tensor(state["learning_rate"]))
        self._share_learning_rate()
        if self.accelerator.scaler is not None and "scaler" in state:
            self.accelerator.scaler.load_state_dict(state["scaler"])
