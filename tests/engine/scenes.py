"""Scenes and reset states that the engine tests share."""

from __future__ import annotations

import attrs
import torch

from grail_framework.engine.protocol import ContactSensorSpec, ObjectSpec, ResetState, SceneSpec
from grail_framework.robots.g1 import g1_43dof
from grail_framework.robots.spec import BodySpec, ColliderSpec, JointSpec, RobotSpec

SLAB_MASS = 5.0
FLAP_MASS = 0.5


def slab_robot() -> RobotSpec:
    """A slab of 0.4 x 0.4 x 0.1 m with a short flap on a hinge at its side, clear of the ground."""
    hinge = JointSpec(
        name="hinge", axis=(0.0, 1.0, 0.0), lower=-1.0, upper=1.0, stiffness=20.0, damping=1.0, armature=0.01,
        effort=5.0, velocity=10.0, action_scale=0.5,
    )  # fmt: skip
    slab = BodySpec(
        name="slab",
        parent=None,
        mass=SLAB_MASS,
        inertia=(0.07, 0.07, 0.13, 0.0, 0.0, 0.0),
        colliders=(ColliderSpec(shape="box", size=(0.2, 0.2, 0.05)),),
    )
    flap = BodySpec(
        name="flap",
        parent="slab",
        pos=(0.0, 0.0, 0.5),
        mass=FLAP_MASS,
        com=(0.0, 0.0, 0.02),
        inertia=(1e-3, 1e-3, 1e-3, 0.0, 0.0, 0.0),
        joint=hinge,
    )
    return RobotSpec(
        name="slab",
        bodies=(slab, flap),
        joint_names=("hinge",),
        num_motion_joints=1,
        anchor_body="slab",
        tracked_bodies=("slab",),
        end_effectors=("slab",),
    )


def resting(spec: SceneSpec, height: float, **poses: torch.Tensor) -> ResetState:
    """The robot in its default pose at rest, its root at a height [m]."""
    n = spec.num_envs
    joints = torch.tensor([joint.default_pos for joint in spec.robot.joints]).repeat(n, 1)
    zeros, upright = torch.zeros(n, 3), torch.tensor([1.0, 0.0, 0.0, 0.0]).repeat(n, 1)
    return ResetState(
        root_pos_w=torch.tensor([0.0, 0.0, height]).repeat(n, 1),
        root_quat_w=poses.pop("root_quat_w", upright),
        root_lin_vel_w=zeros,
        root_ang_vel_w=zeros,
        joint_pos=joints,
        joint_vel=torch.zeros_like(joints),
        **{"object_quat_w": upright, "table_quat_w": upright, **poses},
    )


def everything(spec: SceneSpec) -> torch.Tensor:
    return torch.ones(spec.num_envs, dtype=torch.bool)


def g1_scene(num_envs: int, objects: tuple[ObjectSpec, ...], **settings) -> SceneSpec:
    hand = ("right_hand_palm_link", "right_hand_thumb_2_link", "right_hand_index_1_link", "right_hand_middle_1_link")
    return SceneSpec(
        num_envs=num_envs,
        robot=g1_43dof(),
        objects=objects,
        env_object=tuple(k % len(objects) for k in range(num_envs)) if objects else (),
        contact_sensors={
            "feet": ContactSensorSpec(links=("left_ankle_roll_link", "right_ankle_roll_link"), partner="ground"),
            "all": ContactSensorSpec(links=("left_ankle_roll_link", "pelvis"), partner="any"),
            **({"hand": ContactSensorSpec(links=hand, partner="object")} if objects else {}),
        },
        **settings,
    )


def slab_scene(boxes, **settings):
    return SceneSpec(
        num_envs=1,
        robot=slab_robot(),
        objects=boxes[:1],
        env_object=(0,),
        contact_sensors={
            partner: ContactSensorSpec(links=("flap", "slab"), partner=partner)
            for partner in ("object", "ground", "any", *(("table",) if settings.get("table_size") else ()))
        },
        **settings,
    )


def buffers(engine):
    """All buffers of the state by name, contact sensors included."""
    flat = attrs.asdict(engine.state, recurse=False)
    contacts = flat.pop("contact_forces")
    return {**flat, **{f"contact:{name}": value for name, value in contacts.items()}}


def snapshot(engine):
    return {name: value.clone() for name, value in buffers(engine).items()}


def assert_same_bits(first, second):
    assert first.keys() == second.keys()
    for name, value in first.items():
        assert torch.equal(value, second[name]), name


def start(engine, height=0.745, **poses):
    n = engine.spec.num_envs
    if engine.spec.objects and "object_pos_w" not in poses:
        poses["object_pos_w"] = torch.tensor([1.0, 0.0, 0.5]).repeat(n, 1)
    engine.reset(everything(engine.spec), resting(engine.spec, height, **poses))


def default_targets(engine):
    return torch.tensor([joint.default_pos for joint in engine.spec.robot.joints]).repeat(engine.spec.num_envs, 1)


def actions(engine, steps):
    generator = torch.Generator().manual_seed(3)
    rest = default_targets(engine)
    return [rest + 0.2 * torch.randn(rest.shape, generator=generator) for _ in range(steps)]
