"""A PPO update against rsl_rl's: the same batch, networks and mini-batches, so that losses and weights must come out alike."""

from __future__ import annotations

import statistics
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import attrs
import torch
from accelerate import Accelerator

from grail_framework.bench.timing import alternating, count_waits, seconds
from grail_framework.config import PpoCfg
from grail_framework.errors import ConfigError
from grail_framework.learning.capture import captures_inference
from grail_framework.learning.collection import Collector
from grail_framework.learning.distributed import set_matrix_precision
from grail_framework.learning.networks import mlp
from grail_framework.learning.ppo import Ppo
from grail_framework.learning.statistics import RolloutStatistics
from grail_framework.learning.storage import RolloutStorage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from rsl_rl.algorithms import PPO

LOSSES: Final = ("surrogate", "value", "entropy")
_WARM_UPS: Final = 3
"""Updates before timing: the graphs of what is done once in an update are recorded in the third."""
_SEED: Final = 5


@attrs.frozen(kw_only=True)
class UpdateSize:
    """Batch and networks of an update; the widths are those of the task pnp_table."""

    num_envs: int = 4096
    num_steps: int = 24
    hidden: tuple[int, ...] = attrs.field(default=(512, 256, 128), converter=tuple)
    """Of actor and critic, which have SiLU between their layers."""
    widths: dict[str, int] = attrs.field(factory=lambda: {"policy": 996, "critic": 1113})
    num_actions: int = 31


@attrs.frozen(kw_only=True)
class Comparison:
    """What was measured; times of one update each [s], in pairs of repeats."""

    ours: list[float]
    """As a run does it: on a GPU replayed from a CUDA graph."""
    rsl_rl: list[float]
    """Of `PPO.update`; ours has the advantages in it, rsl_rl's are estimated before."""
    details: dict[str, float]
    """The rest, units in the names: see `measure`."""


def measure(
    *, device: torch.device | str, num_envs: int, num_steps: int, hidden: Sequence[int], repeats: int
) -> dict[str, float]:
    """Measure an update, and a policy's step, of the widths of pnp_table.

    Returns:
        Medians: `ours_ms`, `rsl_rl_ms` and `ratio` of an update; `eager_ms` of ours launched operation by operation;
        `rsl_rl_returns_ms` of what rsl_rl does before its update and ours in it; `act_ms`, `act_eager_ms`, `rsl_rl_act_ms` of deciding
        and storing one step. Then `loss_difference` and `weight_difference`, the largest absolute ones after an update from the same
        weights with the same mini-batches and a fixed rate. On a GPU `waits` and `rsl_rl_waits`, how often the host waits in an update.

    Raises:
        ConfigError: rsl_rl is not installed.
    """
    size = UpdateSize(num_envs=num_envs, num_steps=num_steps, hidden=tuple(hidden))
    found = compare(size, torch.device(device), repeats)
    ours, theirs = statistics.median(found.ours), statistics.median(found.rsl_rl)
    return {"ours_ms": 1e3 * ours, "rsl_rl_ms": 1e3 * theirs, "ratio": ours / theirs, **found.details}


def compare(size: UpdateSize, device: torch.device, repeats: int, cfg: PpoCfg | None = None) -> Comparison:
    """Measure updates of ours and rsl_rl's in turns; `cfg` gives epochs, mini-batches, coefficients and matrix precision.

    The gradient's bound is lifted: ours is of actor and critic together, rsl_rl's of each. One rate is used, within rsl_rl's own bounds.

    Raises:
        ConfigError: rsl_rl is not installed.
    """
    cfg = attrs.evolve(
        cfg or PpoCfg(),
        num_steps_per_env=size.num_steps,
        max_grad_norm=1e9,
        critic_learning_rate=None,
        min_learning_rate=1e-5,
        max_learning_rate=1e-2,
    )
    set_matrix_precision(device, tf32=cfg.tf32)
    torch.manual_seed(_SEED)
    details = _differences(size, cfg, device)
    pair, eager = _Pair(size, cfg, device), _Pair(size, attrs.evolve(cfg, cuda_graphs=False), device)
    for updater in (pair, eager):
        for _ in range(_WARM_UPS):
            updater.update_ours()
    ours, theirs = alternating(pair.update_ours, pair.update_theirs, device, repeats)
    details["eager_ms"] = _median_ms(eager.update_ours, device, repeats)
    details["rsl_rl_returns_ms"] = _median_ms(pair.estimate_theirs, device, repeats)
    details |= _acting(pair, eager, device, repeats)
    if device.type == "cuda":
        details["waits"] = float(count_waits(pair.update_ours))
        details["rsl_rl_waits"] = float(count_waits(pair.update_theirs))
    return Comparison(ours=ours, rsl_rl=theirs, details=details)


def _differences(size: UpdateSize, cfg: PpoCfg, device: torch.device) -> dict[str, float]:
    """Learn the same from the same: twice, as the second update of ours is replayed as a whole."""
    pair = _Pair(size, attrs.evolve(cfg, schedule="fixed"), device)
    losses: list[float] = []
    for _ in range(2):
        with pair.same_mini_batches():
            ours = pair.update_ours()  # first: rsl_rl draws actions in its update
            theirs = pair.update_theirs()
        losses += [abs(ours[f"loss/{name}"].item() - theirs[name]) for name in LOSSES]
    weights = [(own - other).abs().max().item() for own, other in pair.weights()]
    return {"loss_difference": max(losses), "weight_difference": max(weights)}


def _acting(pair: _Pair, eager: _Pair, device: torch.device, repeats: int) -> dict[str, float]:
    """Time deciding and storing the steps of a rollout, for one step."""
    steps = pair.size.num_steps
    for _ in range(_WARM_UPS):
        pair.act_ours()
    works = {"act_ms": pair.act_ours, "act_eager_ms": eager.act_ours, "rsl_rl_act_ms": pair.act_theirs}
    return {name: _median_ms(work, device, repeats) / steps for name, work in works.items()}


def _median_ms(work: Callable[[], object], device: torch.device, repeats: int) -> float:
    work()
    return 1e3 * statistics.median(seconds(work, device) for _ in range(repeats))


class _Pair:
    """Our algorithm and rsl_rl's, with the same weights and the same rollout."""

    def __init__(self, size: UpdateSize, cfg: PpoCfg, device: torch.device) -> None:
        self.size, self._device = size, device
        self._observations = {name: torch.randn(size.num_envs, width, device=device) for name, width in size.widths.items()}
        self.ours = _make_ours(size, cfg, device)
        self.theirs = _make_theirs(size, cfg, device, self._observations)
        self.rollout = RolloutStorage(size.num_steps, size.num_envs, size.widths, size.num_actions, device)
        self._collector = Collector(
            self.ours.network,
            self.rollout,
            RolloutStatistics(size.num_envs, device),
            capture=captures_inference(cfg, device),
        )
        self._copy_weights()
        self._collect()

    def weights(self) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """Yield each parameter of ours with rsl_rl's."""
        network = self.ours.network
        yield network.std.detach(), self.theirs.actor.get_parameter("distribution.std_param").detach()
        for part, model in (("actor", self.theirs.actor), ("critic", self.theirs.critic)):
            for name, parameter in model.mlp.named_parameters():
                yield network.get_parameter(f"{part}_module.module.{name}").detach(), parameter.detach()

    def update_ours(self) -> dict[str, torch.Tensor]:
        return self.ours.update(self.rollout, self._last_value)

    def update_theirs(self) -> dict[str, float]:
        return self.theirs.update()

    def estimate_theirs(self) -> None:
        self.theirs.compute_returns(self._as_tensordict())

    def act_ours(self) -> None:
        """Decide and store a rollout's steps."""
        for step in range(self.size.num_steps):
            self._collector.decide(step, self._observations)
            self._collector.record(self._reward, self._terminated, self._truncated)

    @torch.no_grad()
    def act_theirs(self) -> None:
        """Do the same with rsl_rl."""
        self.theirs.storage.clear()
        observations = self._as_tensordict()
        ended, time_outs = self._terminated | self._truncated, {"time_outs": self._truncated.float()}
        for _ in range(self.size.num_steps):
            self.theirs.act(observations)
            self.theirs.process_env_step(observations, self._reward, ended, time_outs)

    @contextmanager
    def same_mini_batches(self) -> Iterator[None]:
        """Let rsl_rl take the mini-batches that ours is going to draw."""
        cfg = self.ours.cfg
        torch.manual_seed(_SEED)
        orders = [self.rollout.shuffled_envs() for _ in range(cfg.num_learning_epochs if cfg.shuffle_every_epoch else 1)]
        orders = orders if cfg.shuffle_every_epoch else orders * cfg.num_learning_epochs
        first_rows = torch.arange(self.size.num_steps, device=self._device).unsqueeze(1) * self.size.num_envs
        parts = [(first_rows + envs).flatten() for order in orders for envs in order.chunk(cfg.num_mini_batches)]
        storage: Any = self.theirs.storage
        generate = storage.mini_batch_generator
        storage.mini_batch_generator = lambda *_: _batches(storage, parts)
        torch.manual_seed(_SEED)
        try:
            yield
        finally:
            storage.mini_batch_generator = generate

    @torch.no_grad()
    def _copy_weights(self) -> None:
        for own, other in self.weights():
            own.copy_(other)

    @torch.no_grad()
    def _collect(self) -> None:
        """Fill both storages with the same steps; failures and time-outs are among them."""
        size, device = self.size, self._device
        for step in range(size.num_steps):
            self._draw()
            actions = self.theirs.act(self._as_tensordict())
            row = torch.tensor([step], device=device)
            self.rollout.record_decision(row, self._observations, self.ours.network(self._observations, actions))
            self.rollout.record_outcome(row, self._reward, self._terminated, self._truncated)
            ended, time_outs = self._terminated | self._truncated, {"time_outs": self._truncated.float()}
            self.theirs.process_env_step(self._as_tensordict(), self._reward, ended, time_outs)
        self.estimate_theirs()
        self._last_value = self.ours.network.value(self._observations)

    def _draw(self) -> None:
        for group in self._observations.values():
            group.normal_()
        draws = torch.rand(self.size.num_envs, device=self._device)
        self._reward = torch.randn(self.size.num_envs, device=self._device)
        self._terminated, self._truncated = draws < 0.02, draws > 0.98

    def _as_tensordict(self) -> Any:
        return _tensordict(self._observations, self.size.num_envs)


def _tensordict(observations: dict[str, torch.Tensor], num_envs: int) -> Any:
    from tensordict import TensorDict

    return TensorDict(dict(observations), batch_size=[num_envs])


def _batches(storage: Any, parts: Sequence[torch.Tensor]) -> Iterator[Any]:
    """Yield rsl_rl's mini-batches of the rows given."""
    flat = {
        "observations": storage.observations,
        "actions": storage.actions,
        "values": storage.values,
        "advantages": storage.advantages,
        "returns": storage.returns,
        "old_actions_log_prob": storage.actions_log_prob,
    }
    for rows in parts:
        old = tuple(stored.flatten(0, 1)[rows] for stored in storage.distribution_params)
        taken = {name: stored.flatten(0, 1)[rows] for name, stored in flat.items()}
        yield storage.Batch(**taken, old_distribution_params=old)


def _make_ours(size: UpdateSize, cfg: PpoCfg, device: torch.device) -> Ppo:
    network = mlp(
        size.widths["policy"],
        size.widths["critic"],
        size.num_actions,
        actor_hidden_dims=size.hidden,
        critic_hidden_dims=size.hidden,
        init_noise_std=0.3,
        min_noise_std=1e-6,  # rsl_rl has no bounds
        max_noise_std=1e6,
    )
    return Ppo(network, cfg, Accelerator(cpu=device.type == "cpu"))


def _make_theirs(size: UpdateSize, cfg: PpoCfg, device: torch.device, observations: dict[str, torch.Tensor]) -> PPO:
    try:
        from rsl_rl.algorithms import PPO
        from rsl_rl.models import MLPModel
        from rsl_rl.storage import RolloutStorage as TheirStorage
    except ImportError as error:
        raise ConfigError(f"the reference of this benchmark is rsl_rl ({error}): pip install 'rsl-rl-lib>=5,<6'") from error
    seen = _tensordict(observations, size.num_envs)
    groups = {"actor": ["policy"], "critic": ["critic"]}
    gaussian = {"class_name": "GaussianDistribution", "init_std": 0.3, "std_type": "scalar"}
    actor = MLPModel(seen, groups, "actor", size.num_actions, size.hidden, "swish", distribution_cfg=gaussian)
    critic = MLPModel(seen, groups, "critic", 1, size.hidden, "swish")
    return PPO(
        actor,
        critic,
        TheirStorage("rl", size.num_envs, size.num_steps, seen, [size.num_actions], str(device)),
        num_learning_epochs=cfg.num_learning_epochs,
        num_mini_batches=cfg.num_mini_batches,
        clip_param=cfg.clip_param,
        gamma=cfg.gamma,
        lam=cfg.lam,
        value_loss_coef=cfg.value_loss_coef,
        entropy_coef=cfg.entropy_coef,
        learning_rate=cfg.learning_rate,
        max_grad_norm=cfg.max_grad_norm,
        use_clipped_value_loss=cfg.use_clipped_value_loss,
        schedule=cfg.schedule,
        desired_kl=cfg.desired_kl,
        device=str(device),
    )
