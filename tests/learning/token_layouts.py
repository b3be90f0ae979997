"""Layouts and shapes of the public universal-token networks, written down from their descriptions."""

from __future__ import annotations

from itertools import pairwise

import torch

MANIPULATION = {
    "encoder_index": 3,
    "command_multi_future_nonflat": 580,
    "command_z_multi_future_nonflat": 10,
    "command_z": 1,
    "motion_anchor_ori_heading_mf_nonflat": 60,
    "motion_anchor_ori_heading": 6,
    "command_multi_future_lower_body": 240,
    "vr_3point_local_target": 9,
    "vr_3point_local_orn_target": 12,
    "smpl_joints_multi_future_local_nonflat": 720,
    "smpl_root_ori_heading_multi_future": 60,
    "joint_pos_multi_future_wrist_for_smpl": 60,
}
TERRAIN = {
    "encoder_index": 3,
    "command_multi_future_nonflat": 580,
    "command_z_multi_future": 10,
    "motion_anchor_ori_b_mf_nonflat": 60,
    "height_map_z_flat": 121,
}
CHAINS_OF_MANIPULATION = {
    "encoders.g1": (640, 2048, 1024, 512, 512, 64),
    "encoders.teleop": (267, 2048, 1024, 512, 512, 64),
    "encoders.smpl": (840, 2048, 1024, 512, 512, 64),
    "decoders.g1_dyn": (994, 2048, 2048, 1024, 1024, 512, 512, 29),
    "decoders.g1_kin": (64, 2048, 1024, 512, 512, 640),
}
CHAINS_OF_TERRAIN = {
    "encoders.g1": (1920, 2048, 1024, 512, 512, 64),
    "decoders.g1_dyn": (1093, 2048, 2048, 1024, 1024, 512, 512, 29),
    "decoders.g1_kin": (64, 2048, 1024, 512, 512, 640),
}
PROJECTOR = "encoder_input_projectors.g1.height_map_z_flat"
SHAPES_OF_PROJECTOR = {
    f"{PROJECTOR}.conv_layers.0.weight": (16, 1, 3, 3),
    f"{PROJECTOR}.conv_layers.0.bias": (16,),
    f"{PROJECTOR}.conv_layers.3.weight": (32, 16, 3, 3),
    f"{PROJECTOR}.conv_layers.3.bias": (32,),
    f"{PROJECTOR}.mlp_head.0.weight": (128, 128),
    f"{PROJECTOR}.mlp_head.0.bias": (128,),
    f"{PROJECTOR}.mlp_head.2.weight": (128, 128),
    f"{PROJECTOR}.mlp_head.2.bias": (128,),
}


def shapes_of(chains: dict[str, tuple[int, ...]]) -> dict[str, tuple[int, ...]]:
    """Return parameter names and shapes of MLPs whose layers sit at the even indices."""
    shapes: dict[str, tuple[int, ...]] = {}
    for name, widths in chains.items():
        for layer, (reads, gives) in enumerate(pairwise(widths)):
            shapes[f"{name}.module.{2 * layer}.weight"] = (gives, reads)
            shapes[f"{name}.module.{2 * layer}.bias"] = (gives,)
    return shapes


def random_state(shapes: dict[str, tuple[int, ...]], seed: int = 0) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {name: 0.2 * torch.randn(shape, generator=generator) for name, shape in shapes.items()}


def small(chains: dict[str, tuple[int, ...]], *hidden: int) -> dict[str, tuple[int, ...]]:
    """Return the same ends with other layers between."""
    return {name: (widths[0], *hidden, widths[-1]) for name, widths in chains.items()}
