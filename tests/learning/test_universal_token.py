"""The universal-token module: the shapes of public checkpoints, and what it computes against the same in plain torch and numpy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from token_layouts import (
    CHAINS_OF_MANIPULATION,
    CHAINS_OF_TERRAIN,
    MANIPULATION,
    PROJECTOR,
    SHAPES_OF_PROJECTOR,
    TERRAIN,
    random_state,
    shapes_of,
    small,
)
from torch.nn import functional

from grail_framework.errors import CheckpointError
from grail_framework.learning.universal_token.module import UniversalTokenModule

SMALL_TERRAIN = shapes_of(small(CHAINS_OF_TERRAIN, 12, 8)) | SHAPES_OF_PROJECTOR
SMALL_MANIPULATION = shapes_of(small(CHAINS_OF_MANIPULATION, 12))


def zeros(shapes: dict[str, tuple[int, ...]]) -> dict[str, torch.Tensor]:
    return {name: torch.zeros(shape) for name, shape in shapes.items()}


def mlp(state: dict[str, torch.Tensor], name: str, x: np.ndarray) -> np.ndarray:
    """Apply an MLP of a state dict in numpy."""
    layers = sorted(int(key.split(".")[-2]) for key in state if key.startswith(f"{name}.module.") and key.endswith("weight"))
    for layer in layers:
        weight, bias = (state[f"{name}.module.{layer}.{kind}"].double().numpy() for kind in ("weight", "bias"))
        x = x @ weight.T + bias
        if layer != layers[-1]:
            x = x / (1.0 + np.exp(-x))
    return x


def quantized(z: np.ndarray) -> np.ndarray:
    """Return what the release's quantiser gives for 32 levels."""
    half = 31 * (1 + 1e-3) / 2
    return np.round(np.tanh(z + np.arctanh(0.5 / half)) * half - 0.5) / 16


@pytest.mark.parametrize(
    ("chains", "layout", "proprioception", "width"),
    [(CHAINS_OF_TERRAIN, TERRAIN, 1029, 774), (CHAINS_OF_MANIPULATION, MANIPULATION, 930, 1761)],
)
def test_public_networks_are_rebuilt_from_names_and_shapes(chains, layout, proprioception, width):
    shapes = shapes_of(chains) | (SHAPES_OF_PROJECTOR if layout is TERRAIN else {})
    module = UniversalTokenModule.from_state_dict(zeros(shapes), layout=layout)
    assert {name: tuple(value.shape) for name, value in module.state_dict().items()} == shapes
    assert (module.num_tokens, module.token_dim, module.num_actions) == (2, 32, 29)
    assert (module.proprioception_dim, module.tokenizer_dim) == (proprioception, width)


def test_the_heading_is_read_where_the_group_has_it():
    module = UniversalTokenModule.from_state_dict(random_state(SMALL_MANIPULATION), layout=MANIPULATION)
    assert module.inputs == {
        "g1": ("command_multi_future_nonflat", "motion_anchor_ori_heading_mf_nonflat"),
        "teleop": (
            "command_multi_future_lower_body",
            "vr_3point_local_target",
            "vr_3point_local_orn_target",
            "motion_anchor_ori_heading",
        ),
        "smpl": (
            "smpl_joints_multi_future_local_nonflat",
            "smpl_root_ori_heading_multi_future",
            "joint_pos_multi_future_wrist_for_smpl",
        ),
    }


def test_frames_follow_one_another_and_flat_terms_stay_flat():
    state = random_state(SMALL_MANIPULATION)
    module = UniversalTokenModule.from_state_dict(state, layout=MANIPULATION)
    tokenizer = torch.randn(3, 1761)
    x = tokenizer.double().numpy()
    command, heading = x[:, 3:583].reshape(3, 10, 58), x[:, 594:654].reshape(3, 10, 6)
    read = {
        "g1": np.concatenate([command, heading], axis=2).reshape(3, 640),
        "teleop": np.concatenate([x[:, 660:921], x[:, 654:660]], axis=1),
        "smpl": np.concatenate(
            [x[:, 921:1641].reshape(3, 10, 72), x[:, 1641:1701].reshape(3, 10, 6), x[:, 1701:1761].reshape(3, 10, 6)], axis=2
        ).reshape(3, 840),
    }
    for encoder, values in read.items():
        expected = mlp(state, f"encoders.{encoder}", values).reshape(3, 2, 32)
        np.testing.assert_allclose(module.encode(tokenizer, encoder).detach().numpy(), expected, atol=1e-4)
    np.testing.assert_array_equal(module.reconstructed(tokenizer), read["g1"].astype(np.float32))


def test_a_whole_pass_is_the_releases():
    state = random_state(SMALL_MANIPULATION, seed=1)
    module = UniversalTokenModule.from_state_dict(state, layout=MANIPULATION)
    torch.manual_seed(1)
    tokenizer, proprioception = torch.randn(5, 1761), torch.randn(5, 930)
    latent = module.encode(tokenizer)
    tokens = module.quantize(latent)
    np.testing.assert_allclose(tokens.detach().numpy(), quantized(latent.detach().double().numpy()), atol=1e-6)
    flat = tokens.detach().double().numpy().reshape(5, 64)
    actions = mlp(state, "decoders.g1_dyn", np.concatenate([flat, proprioception.double().numpy()], axis=1))
    np.testing.assert_allclose(module.decode(tokens, proprioception).detach().numpy(), actions, atol=1e-4)
    np.testing.assert_allclose(module.reconstruct(tokens).detach().numpy(), mlp(state, "decoders.g1_kin", flat), atol=1e-4)


def test_a_height_map_is_embedded_and_repeated_in_every_frame():
    state = random_state(SMALL_TERRAIN)
    module = UniversalTokenModule.from_state_dict(state, layout=TERRAIN)
    tokenizer = torch.randn(4, 774)
    weights = {name.removeprefix(f"{PROJECTOR}."): value for name, value in state.items() if name.startswith(PROJECTOR)}
    x = tokenizer[:, 653:].reshape(4, 1, 11, 11)
    for layer in (0, 3):
        x = functional.conv2d(x, weights[f"conv_layers.{layer}.weight"], weights[f"conv_layers.{layer}.bias"], padding=1)
        x = functional.max_pool2d(functional.relu(x), 2)
    assert x.shape == (4, 32, 2, 2)
    x = functional.relu(functional.linear(x.reshape(4, 128), weights["mlp_head.0.weight"], weights["mlp_head.0.bias"]))
    x = functional.linear(x, weights["mlp_head.2.weight"], weights["mlp_head.2.bias"])
    frames = [
        torch.cat([tokenizer[:, 3 + 58 * k : 61 + 58 * k], tokenizer[:, 593 + 6 * k : 599 + 6 * k], x], dim=1)
        for k in range(10)
    ]
    expected = mlp(state, "encoders.g1", torch.cat(frames, dim=1).double().numpy()).reshape(4, 2, 32)
    np.testing.assert_allclose(module.encode(tokenizer).detach().numpy(), expected, atol=1e-3)
    assert module.reconstructed(tokenizer).shape == (4, 640)


def test_encoder_index_chooses_the_latent():
    module = UniversalTokenModule.from_state_dict(random_state(SMALL_MANIPULATION), layout=MANIPULATION)
    tokenizer = torch.randn(5, 1761)
    tokenizer[:, :3] = torch.tensor([[1.0, 0, 0], [0, 1, 0], [0, 0, 1], [1, 0, 1], [0, 0, 0]])
    latents = module.latents(tokenizer)
    chosen = module.choose(latents, tokenizer)
    for row, encoder in enumerate(("g1", "teleop", "smpl", "smpl", "g1")):
        assert torch.equal(chosen[row], latents[encoder][row])


def test_a_reconstruction_is_encoded_like_the_reference_itself():
    module = UniversalTokenModule.from_state_dict(random_state(SMALL_TERRAIN), layout=TERRAIN)
    tokenizer = torch.randn(2, 774)
    again = module.encode_reconstruction(module.reconstructed(tokenizer), tokenizer)
    torch.testing.assert_close(again, module.encode(tokenizer))


def test_round_trip_with_what_names_and_shapes_do_not_say():
    shapes = shapes_of({"encoders.g1": (35, 7, 12), "decoders.g1_dyn": (17, 9, 3), "decoders.g1_kin": (12, 5, 35)})
    layout = {"other": 4, "command_multi_future_nonflat": 30, "motion_anchor_ori_heading": 2}
    inputs = {"g1": ["command_multi_future_nonflat", "motion_anchor_ori_heading"]}
    shapes |= shapes_of({"encoders.g1": (40, 7, 12), "decoders.g1_kin": (12, 5, 40)})
    first = UniversalTokenModule.from_state_dict(
        random_state(shapes), layout=layout, inputs=inputs, activation="elu", token_dim=4, fsq_levels=8, num_frames=5
    )
    second = UniversalTokenModule.from_state_dict(first.state_dict(), **first.settings)
    assert (second.num_tokens, second.token_dim, second.proprioception_dim, second.tokenizer_dim) == (3, 4, 5, 36)
    assert second.settings == first.settings
    tokenizer, proprioception = torch.randn(6, 36), torch.randn(6, 5)
    assert torch.equal(second(tokenizer, proprioception), first(tokenizer, proprioception))


def test_the_state_is_copied_and_no_random_number_is_drawn():
    state = random_state(SMALL_TERRAIN)
    kept = {name: value.clone() for name, value in state.items()}
    torch.manual_seed(3)
    wanted = torch.rand(1)
    torch.manual_seed(3)
    module = UniversalTokenModule.from_state_dict(state, layout=TERRAIN)
    assert torch.equal(torch.rand(1), wanted)
    with torch.no_grad():
        for parameter in module.parameters():
            assert parameter.requires_grad
            parameter.zero_()
    assert all(torch.equal(state[name], value) for name, value in kept.items())


def test_buffers_of_training_losses_are_left_out():
    state = random_state(SMALL_MANIPULATION) | {"aux_loss_func.g1_recon.weights": torch.ones(3)}
    module = UniversalTokenModule.from_state_dict(state, layout=MANIPULATION)
    assert "aux_loss_func.g1_recon.weights" not in module.state_dict()


def refused(shapes: dict[str, tuple[int, ...]], layout: dict[str, int], match: str, **settings: object) -> None:
    with pytest.raises(CheckpointError, match=match):
        UniversalTokenModule.from_state_dict(zeros(shapes), layout=layout, **settings)  # pyright: ignore[reportArgumentType]


def test_another_input_width_names_terms_and_layer():
    shapes = SMALL_MANIPULATION | shapes_of({"encoders.g1": (650, 12, 64)})
    refused(
        shapes,
        MANIPULATION,
        r"encoders\.g1\.module\.0\.weight has shape \(12, 650\).*command_multi_future_nonflat 580 \+ "
        r"motion_anchor_ori_heading_mf_nonflat 60 = 640.*inputs\.g1=\[\.\.\.\]",
    )
    inputs = {"g1": ["command_multi_future_nonflat", "motion_anchor_ori_heading_mf_nonflat", "command_z_multi_future_nonflat"]}
    shapes |= shapes_of({"decoders.g1_kin": (64, 12, 650)})
    assert UniversalTokenModule.from_state_dict(zeros(shapes), layout=MANIPULATION, inputs=inputs).inputs["g1"] == (
        *inputs["g1"],
    )


def test_missing_terms_are_named():
    layout = {term: width for term, width in MANIPULATION.items() if term != "vr_3point_local_target"}
    refused(
        SMALL_MANIPULATION,
        layout,
        r"'teleop' reads .*vr_3point_local_target.*the observation group `tokenizer` has encoder_index",
    )


def test_windows_of_another_length_are_named():
    refused(SMALL_MANIPULATION, MANIPULATION | {"command_multi_future_nonflat": 464}, "464 wide, no multiple of num_frames=10")


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"decoders.g1_dyn": (64, 12, 29)}, "g1_dyn reads 64, which must be more"),
        ({"decoders.g1_kin": (64, 12, 650)}, r"g1_kin gives 650 numbers, and g1 reads .* = 640"),
        ({"decoders.g1_kin": (32, 12, 640)}, "g1_kin reads 32"),
        ({"encoders.smpl": (840, 12, 96)}, r"encoders\.g1 64, .*encoders\.smpl 96"),
        ({"decoders.hand_dyn": (64, 12, 14)}, r"decoders g1_dyn, g1_kin, hand_dyn"),
        ({"encoders.soma": (640, 12, 64)}, r"encoders soma: an encoder is one of g1, teleop, smpl"),
    ],
)
def test_parts_that_do_not_fit_are_named(change, match):
    refused(SMALL_MANIPULATION | shapes_of(change), MANIPULATION, match)


def test_names_with_their_prefix_are_recognised():
    refused(
        {f"actor_module.{name}": shape for name, shape in SMALL_TERRAIN.items()}, TERRAIN, "without the prefix `actor_module.`"
    )


def test_strange_and_missing_names_are_told():
    shapes = SMALL_TERRAIN | {"std": (29,)}
    del shapes["encoders.g1.module.2.bias"]
    refused(shapes, TERRAIN, r"missing encoders\.g1\.module\.2\.bias; unknown std")


def test_biases_of_another_shape_are_told():
    refused(
        SMALL_TERRAIN | {"encoders.g1.module.2.bias": (9,)}, TERRAIN, r"encoders\.g1\.module\.2\.bias \(9,\) instead of \(8,\)"
    )


def test_layers_at_odd_places_are_told():
    shapes = {name.replace("encoders.g1.module.2", "encoders.g1.module.3"): shape for name, shape in SMALL_TERRAIN.items()}
    refused(shapes, TERRAIN, r"encoders\.g1\.module: layers with weights are expected at 0, 2, 4.* and are at 0, 3, 4")


def test_layers_that_do_not_follow_one_another_are_told():
    refused(SMALL_TERRAIN | {"encoders.g1.module.2.weight": (8, 11)}, TERRAIN, "no linear layers that follow one another")


@pytest.mark.parametrize(
    ("shapes", "layout", "match"),
    [
        (SHAPES_OF_PROJECTOR, TERRAIN | {"height_map_z_flat": 441}, r"21 x 21 map .*800 numbers"),
        (SHAPES_OF_PROJECTOR, TERRAIN | {"height_map_z_flat": 120}, "120 points is not square"),
        ({f"{PROJECTOR}.conv_layers.0.weight": (16, 2, 3, 3)}, TERRAIN, r"\(16, 2, 3, 3\)"),
        (SHAPES_OF_PROJECTOR, MANIPULATION, "no term 'height_map_z_flat'"),
    ],
)
def test_projectors_of_another_kind_are_told(shapes, layout, match):
    refused(SMALL_TERRAIN | shapes, layout, match)


def test_parameters_pass_gradients_back_through_the_rounding():
    module = UniversalTokenModule.from_state_dict(random_state(SMALL_TERRAIN), layout=TERRAIN)
    module(0.1 * torch.randn(4, 774), torch.randn(4, 1029)).square().sum().backward()
    gradients = {name: value.grad for name, value in module.named_parameters() if "g1_kin" not in name}
    assert all(gradient is not None and gradient.abs().max() > 0.0 for gradient in gradients.values())
