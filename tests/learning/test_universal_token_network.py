"""The actor-critic with a universal-token actor: its losses, which parameters it trains, what PPO asks of it."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import attrs
import pytest
import torch
from token_layouts import CHAINS_OF_TERRAIN, MANIPULATION, SHAPES_OF_PROJECTOR, TERRAIN, shapes_of
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from grail_framework.config import PpoCfg
from grail_framework.errors import ConfigError
from grail_framework.learning.collection import Collector
from grail_framework.learning.distributed import make_accelerator, set_matrix_precision
from grail_framework.learning.ppo import Ppo
from grail_framework.learning.statistics import RolloutStatistics
from grail_framework.learning.storage import RolloutStorage
from grail_framework.learning.universal_token.network import UniversalTokenActorCritic, universal_token

if TYPE_CHECKING:
    from grail_framework.learning.networks import PolicyOutput

ALL = ("g1", "teleop", "smpl")
SMALL: dict[str, Any] = {
    "encoder_hidden_dims": (16,),
    "dyn_hidden_dims": (16,),
    "kin_hidden_dims": (16,),
    "critic_hidden_dims": (16,),
}
WIDTHS = {"policy": 30, "critic": 20, "tokenizer": 1761}
ACTIONS = 5


def build(layout: dict[str, int] = MANIPULATION, **params: Any) -> UniversalTokenActorCritic:
    torch.manual_seed(0)
    network = universal_token(30, 20, ACTIONS, observation_layout={"tokenizer": layout}, **(SMALL | params))
    assert isinstance(network, UniversalTokenActorCritic)
    return network


def observe(batch: int, layout: dict[str, int] = MANIPULATION, device: str = "cpu") -> dict[str, torch.Tensor]:
    widths = WIDTHS | {"tokenizer": sum(layout.values())}
    found = {group: torch.randn(batch, width, device=device) for group, width in widths.items()}
    found["tokenizer"][:, :3] = torch.eye(3, device=device)[torch.arange(batch, device=device) % 3]
    return found


def total(output: PolicyOutput) -> torch.Tensor:
    """Return a loss in which everything that PPO differentiates occurs."""
    losses = (output.log_prob.mean(), output.value.square().mean(), output.entropy.mean(), *output.aux_losses.values())
    return torch.stack(losses).sum()


def test_the_defaults_are_the_releases_terrain_network():
    network = universal_token(1029, 1744, 29, observation_layout={"tokenizer": TERRAIN})
    critic = {"critic_module.module": (1744, 2048, 2048, 1024, 1024, 512, 512, 1)}
    expected = {f"actor_module.{name}": shape for name, shape in (shapes_of(CHAINS_OF_TERRAIN) | SHAPES_OF_PROJECTOR).items()}
    expected |= {name.replace("module.module.module", "module.module"): shape for name, shape in shapes_of(critic).items()}
    found = {name: tuple(value.shape) for name, value in network.state_dict().items() if "running_mean_std" not in name}
    assert found == expected | {"std": (29,)}
    assert network.state_dict()["critic_module.running_mean_std.running_mean"].shape == (1744,)
    assert network.std.tolist() == pytest.approx([0.05] * 29)


def test_the_actor_reads_tokenizer_and_policy_and_the_critic_its_own_group():
    network, observations = build(), observe(4)
    module = network.actor_module
    tokens = module.quantize(module.encode(observations["tokenizer"]))
    expected = module.decode(tokens, observations["policy"])
    torch.testing.assert_close(network.action_mean(observations), expected)
    output = network(observations, torch.zeros(4, ACTIONS))
    assert torch.equal(output.mean, expected)
    changed = observations | {"policy": torch.randn(4, 30), "tokenizer": torch.randn(4, 1761)}
    assert torch.equal(network.value(changed), output.value)


def test_sampling_computes_no_losses():
    assert build()(observe(4)).aux_losses == {}


def test_g1_recon_is_the_mean_over_all_frames_and_numbers():
    network, observations = build(), observe(3)
    losses = network(observations, torch.zeros(3, ACTIONS)).aux_losses
    tokenizer = observations["tokenizer"]
    module = network.actor_module
    predicted = module.reconstruct(module.quantize(module.encode(tokenizer))).reshape(3, 10, 64)
    wanted = torch.cat([tokenizer[:, 3:583].reshape(3, 10, 58), tokenizer[:, 594:654].reshape(3, 10, 6)], dim=2)
    assert list(losses) == ["g1_recon"]
    assert losses["g1_recon"].item() == pytest.approx(0.01 * ((predicted - wanted) ** 2).sum().item() / (3 * 640), rel=1e-5)


def test_latents_are_compared_where_the_other_encoder_is_chosen():
    network, observations = build(encoders=ALL, latent_coef=0.5), observe(7)
    losses = network(observations, torch.zeros(7, ACTIONS)).aux_losses
    module, tokenizer = network.actor_module, observations["tokenizer"]
    latents = {encoder: module.encode(tokenizer, encoder) for encoder in ALL}
    teleop, smpl = torch.tensor([1, 4]), torch.tensor([2, 5])
    recon = module.reconstruct(module.quantize(latents["smpl"][smpl]))
    again = module.encoders["g1"](recon).reshape(2, 2, 32)
    expected = {
        "g1_teleop_latent": functional.mse_loss(latents["g1"][teleop], latents["teleop"][teleop]),
        "g1_smpl_latent": functional.mse_loss(latents["g1"][smpl], latents["smpl"][smpl]),
        "teleop_smpl_latent": functional.mse_loss(latents["teleop"][smpl], latents["smpl"][smpl]),
        "reencoded_smpl_g1_latent": functional.mse_loss(again, latents["g1"][smpl]),
    }
    assert losses.keys() == {"g1_recon", *expected}
    for name, value in expected.items():
        assert losses[name].item() == pytest.approx(0.5 * value.item(), rel=1e-4), name


def test_encoders_that_nobody_chose_cost_nothing():
    network, observations = build(encoders=ALL), observe(4)
    observations["tokenizer"][:, :3] = torch.tensor([1.0, 0.0, 0.0])
    losses = network(observations, torch.zeros(4, ACTIONS)).aux_losses
    assert [name for name, loss in losses.items() if loss.item() > 0.0] == ["g1_recon"]


@pytest.mark.parametrize("chosen", [(1.0, 0.0, 0.0), (0.0, 1.0, 0.0), None])
@pytest.mark.parametrize("encoders", [("g1",), ("g1", "teleop"), ALL])
@pytest.mark.parametrize(("recon", "latent"), [(0.01, 1.0), (0.0, 1.0), (0.01, 0.0), (0.0, 0.0)])
def test_every_trained_parameter_has_a_gradient(encoders, recon, latent, chosen):
    """What a data-parallel wrapper asks for that does not look for unused parameters."""
    network = build(encoders=encoders, recon_coef=recon, latent_coef=latent)
    observations = observe(6)
    if chosen:
        observations["tokenizer"][:, :3] = torch.tensor(chosen)
    total(network(observations, torch.randn(6, ACTIONS))).backward()
    trained = {name for name, value in network.named_parameters() if value.requires_grad}
    assert trained == {name for name, value in network.named_parameters() if value.grad is not None}
    left_out = {name for name, _ in network.named_parameters()} - trained
    if recon or (latent and "smpl" in encoders):
        assert not left_out
    else:
        assert left_out == {name for name, _ in network.named_parameters() if ".g1_kin." in name}


class Recordable(TorchFunctionMode):
    """Refuses what a GPU could not record: reading a value, and results whose shape is one."""

    REFUSED = (
        "item",
        "tolist",
        "cpu",
        "numpy",
        "__bool__",
        "__int__",
        "__float__",
        "__index__",
        "nonzero",
        "masked_select",
        "unique",
    )

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = getattr(func, "__name__", "")
        assert name not in self.REFUSED, name
        if name == "__getitem__":
            chosen = args[1] if isinstance(args[1], tuple) else (args[1],)
            assert not any(isinstance(index, torch.Tensor) for index in chosen), "rows chosen by a tensor"
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("layout", [MANIPULATION, TERRAIN])
def test_neither_shapes_nor_python_depend_on_values(layout):
    network, observations = build(layout, encoders=ALL if layout is MANIPULATION else ("g1",)), observe(4, layout)
    with Recordable():
        total(network(observations, torch.zeros(4, ACTIONS))).backward()
        network(observations)
    with Recordable(), pytest.raises(AssertionError):
        observations["policy"][observations["policy"] > 0.0].sum()


def test_the_critics_inputs_are_normalised():
    network = build()
    network.update_normalization({group: torch.randn(6, 4, width) + 3.0 for group, width in WIDTHS.items()})
    names = [name for name in network.state_dict() if name.endswith("running_mean")]
    assert names == ["critic_module.running_mean_std.running_mean"]
    assert network.state_dict()[names[0]].mean().item() == pytest.approx(3.0, abs=0.2)
    assert {id(value) for value in network.critic_parameters()} == {id(value) for value in network.critic_module.parameters()}


def test_a_small_network_learns_actions_and_what_the_reference_is():
    network = build(**dict.fromkeys(SMALL, (64, 64)), recon_coef=1.0)
    generator = torch.Generator().manual_seed(1)
    basis = torch.randn(3, 580, generator=generator) / 3**0.5
    cause = torch.randn(96, 3, generator=generator)
    observations = observe(96)
    observations["tokenizer"] = torch.zeros(96, 1761)
    observations["tokenizer"][:, 3:583] = cause @ basis
    wanted = torch.tanh(cause @ torch.randn(3, ACTIONS, generator=generator))
    observations["policy"] = torch.zeros(96, 30)  # all there is to know has to pass the tokens
    optimizer = torch.optim.Adam([value for value in network.actor_module.parameters() if value.requires_grad], lr=3e-3)
    errors = []
    for _ in range(120):
        mean, losses = network.action_mean_and_losses(observations)
        errors.append(torch.stack([functional.mse_loss(mean, wanted), losses["g1_recon"]]))
        optimizer.zero_grad()
        errors[-1].sum().backward()
        optimizer.step()
    share = (errors[-1] / errors[0]).tolist()
    assert share[0] < 0.05
    assert share[1] < 0.2


def test_the_height_map_reaches_the_action():
    network, observations = build(TERRAIN), observe(4, TERRAIN)
    output = network(observations, torch.zeros(4, ACTIONS))
    total(output).backward()
    projector = network.actor_module.encoder_input_projectors["g1"]
    assert all(value.grad is not None and value.grad.abs().max() > 0.0 for value in projector.parameters())
    assert list(output.aux_losses) == ["g1_recon"]


@pytest.mark.parametrize(
    ("layout", "params", "match"),
    [
        (MANIPULATION, {"encoders": ("teleop",)}, r"encoders=\('teleop',\): a list with g1"),
        (MANIPULATION, {"encoders": "g1"}, "encoders=g1: a list with g1"),
        (MANIPULATION, {"encoders": ("g1", "telop")}, "did you mean 'teleop'"),
        (MANIPULATION, {"inputs": {"gl": ["command_z"]}}, "got 'gl'; allowed: g1, smpl, teleop"),
        (MANIPULATION, {"inputs": {"g1": ["command_y"]}}, r"'g1' reads \[command_y\].*has encoder_index"),
        (MANIPULATION, {"inputs": {"g1": []}}, r"'g1' reads \[\]"),
        (MANIPULATION, {"num_tokens": 0}, "must be at least 1"),
        (MANIPULATION, {"fsq_levels": 1}, "fsq_levels=1"),
        (MANIPULATION, {"activation": "sillu"}, "did you mean 'silu'"),
        (MANIPULATION, {"num_frames": 7}, "580 wide, no multiple of num_frames=7"),
        (TERRAIN, {"encoders": ("g1", "smpl")}, "'smpl' reads .*smpl_joints_multi_future_local_nonflat"),
        ({"command_multi_future_nonflat": 580}, {}, r"or \[command_multi_future_nonflat, motion_anchor_ori_b_mf_nonflat\]"),
    ],
)
def test_what_cannot_be_built_says_why(layout, params, match):
    with pytest.raises(ConfigError, match=match):
        build(layout, **params)


def test_several_encoders_need_an_index():
    layout = {term: width for term, width in MANIPULATION.items() if term != "encoder_index"}
    with pytest.raises(ConfigError, match=r"'encoder_index' of the group `tokenizer`, 3 wide \(g1, teleop, smpl\)"):
        build(layout, encoders=("g1", "teleop"))
    build(layout)


def test_a_task_without_the_group_is_told():
    with pytest.raises(
        ConfigError, match="reads the observation groups tokenizer, policy and critic; the task has policy, critic"
    ):
        universal_token(3, 5, 2, observation_layout={"policy": {"a": 3}, "critic": {"b": 5}})


CFG = PpoCfg(
    num_steps_per_env=4,
    num_learning_epochs=2,
    num_mini_batches=2,
    learning_rate=1e-4,
    max_learning_rate=1e-3,
    max_grad_norm=1.0,
    tf32=False,
)
ENVS = 16


def fill(rollout: RolloutStorage, ppo: Ppo, seed: int, device: str = "cpu") -> torch.Tensor:
    torch.manual_seed(seed)
    observations: dict[str, torch.Tensor] = {}
    for step in range(rollout.num_steps):
        row = torch.tensor([step], device=device)
        observations = observe(ENVS, device=device)
        with torch.no_grad():
            rollout.record_decision(row, observations, ppo.network(observations))
        ends = torch.rand(ENVS, device=device)
        rollout.record_outcome(row, torch.randn(ENVS, device=device), ends < 0.05, ends > 0.95)
    return ppo.network.value(observations).detach()


def test_an_update_reports_the_losses_and_leaves_untrained_parameters_alone():
    network = build(encoders=("g1", "teleop"), recon_coef=0.0)
    before = copy.deepcopy(network.state_dict())
    ppo = Ppo(network, CFG, make_accelerator(cpu=True))
    rollout = RolloutStorage(CFG.num_steps_per_env, ENVS, WIDTHS, ACTIONS, torch.device("cpu"))
    told = ppo.update(rollout, fill(rollout, ppo, seed=0))
    assert told["loss/g1_teleop_latent"].item() > 0.0
    assert "loss/g1_recon" not in told
    changed = {name for name, value in network.state_dict().items() if not torch.equal(value, before[name])}
    assert changed == {name for name in before if ".g1_kin." not in name}


@pytest.mark.gpu
@pytest.mark.usefixtures("fresh_accelerate")
@pytest.mark.parametrize("changes", [{}, {"mixed_precision": "bf16", "schedule": "fixed"}])
def test_a_captured_update_equals_an_eager_one(changes: dict[str, Any]):
    pair = []
    for graphs in (True, False):
        cfg = attrs.evolve(CFG, **changes, cuda_graphs=graphs)
        set_matrix_precision(torch.device("cuda"), tf32=False)
        pair.append(Ppo(build(encoders=ALL), cfg, make_accelerator(cpu=False, mixed_precision=cfg.mixed_precision)))
    rollouts = [RolloutStorage(CFG.num_steps_per_env, ENVS, WIDTHS, ACTIONS, torch.device("cuda")) for _ in pair]
    for update in range(6):
        told = []
        for ppo, rollout in zip(pair, rollouts, strict=True):
            last_value = fill(rollout, ppo, update, "cuda")
            told.append({name: value.clone() for name, value in ppo.update(rollout, last_value).items()})
        for name, value in told[1].items():
            assert told[0][name].item() == pytest.approx(value.item(), rel=1e-5, abs=1e-6), name
    assert (pair[0].captured, pair[1].captured) == (True, False)
    for name, value in pair[1].network.state_dict().items():
        torch.testing.assert_close(pair[0].network.state_dict()[name], value, rtol=1e-5, atol=1e-6)


@pytest.mark.gpu
@pytest.mark.parametrize("layout", [MANIPULATION, TERRAIN])
def test_acting_is_replayed_from_a_graph(layout):
    network = build(layout).to("cuda")
    device = torch.device("cuda")
    rollout = RolloutStorage(4, ENVS, WIDTHS | {"tokenizer": sum(layout.values())}, ACTIONS, device)
    collector = Collector(network, rollout, RolloutStatistics(ENVS, device), capture=True)
    for step in range(4):
        observations = observe(ENVS, layout, "cuda")
        collector.decide(step, observations)
        torch.testing.assert_close(rollout.mean[step], network.action_mean(observations).detach())
        ends = torch.zeros(ENVS, dtype=torch.bool, device=device)
        collector.record(torch.zeros(ENVS, device=device), ends, ends)
    assert collector.captured
