"""Configuration of what is simulated: robot, object, table, ground, engine."""

from __future__ import annotations

import re
from typing import Final

import attrs

from grail_framework.config.validators import at_least, each, finite, matching, non_negative, one_of, positive

_DEVICE: Final = re.compile(r"auto|cpu|cuda(:\d+)?")


@attrs.frozen(kw_only=True)
class RobotCfg:
    """Which robot."""

    name: str = "g1_43dof"
    """Registry name of the robot."""
    asset: str | None = None
    """Your own URDF, MJCF or USD file of it: kinematics, inertias, limits and collision shapes; None: the registered robot's own."""


@attrs.frozen(kw_only=True)
class ObjectCfg:
    """The object of each motion, one asset per motion stem."""

    dynamic: bool = True
    """A rigid body that moves; false: it follows the reference pose, or stands, as terrain does."""
    mass: float | None = attrs.field(default=None, validator=positive())
    """Mass override; None: from density, else from the asset. [kg]"""
    density: float | None = attrs.field(default=None, validator=positive())
    """Density override; ignored when mass is given. [kg/m^3]"""
    friction: float = attrs.field(default=1.0, validator=non_negative())
    """Sliding friction of the object's surface. [-]"""
    max_pieces: int | None = attrs.field(default=None, validator=at_least(1))
    """Most convex pieces it may be split into; None: 16 where it is dynamic, 128 where it is not, as terrain. [-]"""

    @property
    def piece_limit(self) -> int:
        """Most convex pieces, settled: terrain is many solids side by side, each of which must stay itself. [-]"""
        return self.max_pieces or (16 if self.dynamic else 128)


@attrs.frozen(kw_only=True)
class TableCfg:
    """A kinematic table; its pose comes from each motion's meta file at reset."""

    size: tuple[float, ...] = attrs.field(default=(1.0, 0.6, 0.04), validator=each(positive(), length=3))
    """Extent along x, y, z. [m]"""


@attrs.frozen(kw_only=True)
class ContactSensorCfg:
    """Net contact force that a partner exerts on each of some robot links (world frame, last substep)."""

    links: tuple[str, ...]
    """Robot bodies, in the order of the force tensor. Regular expressions are matched whole."""
    partner: str = attrs.field(default="any", validator=one_of("object", "table", "ground", "any"))
    """What they touch; `any`: the sum over all contacts of the link."""


@attrs.frozen(kw_only=True)
class SceneCfg:
    """What stands in every environment besides the robot."""

    object: ObjectCfg | None = None
    """The manipulated or walked-on object; None: robot only."""
    table: TableCfg | None = None
    """The table; None: no table."""
    ground_friction: float = attrs.field(default=1.0, validator=non_negative())
    """Sliding friction of the ground plane. [-]"""
    env_spacing: float = attrs.field(default=10.0, validator=positive())
    """Distance between environments, for engines that lay them out in one world. [m]"""
    contact_sensors: dict[str, ContactSensorCfg] = attrs.field(factory=dict)
    """Contact forces the terms may read, by name."""


@attrs.frozen(kw_only=True)
class EngineCfg:
    """Which engine simulates, and its clock."""

    name: str = "auto"
    """Registry name of the engine; `auto`: isaaclab where an NVIDIA GPU and that engine are found and device is not cpu, else mujoco."""
    device: str = attrs.field(default="auto", validator=matching(_DEVICE.fullmatch, "auto, cpu, cuda or cuda:N"))
    """Torch device of the environment: auto, cpu, cuda, cuda:N."""
    physics: str = attrs.field(default="newton", validator=one_of("newton", "physx", "ovphysx"))
    """Physics backend of the engine isaaclab: newton, physx (needs Isaac Sim), ovphysx; other engines have their own."""
    cuda_graphs: bool = True
    """Capture the step in CUDA graphs, where the device is a GPU; false: the eager twin, for debugging terms."""
    physics_dt: float = attrs.field(default=0.005, validator=positive())
    """Length of a physics step. [s]"""
    decimation: int = attrs.field(default=4, validator=at_least(1))
    """Physics steps per control step. [-]"""
    num_threads: int | None = attrs.field(default=None, validator=at_least(1))
    """Threads of the CPU engine; None: one per core, shared among the processes that a launcher starts on a machine. [-]"""
    solver_iterations: int = attrs.field(default=20, validator=at_least(1))
    """Upper bound of constraint solver iterations per physics step. [-]"""
    contact_room: float = attrs.field(default=1.0, validator=positive())
    """Multiplies the room for contacts and constraints of the engine isaaclab with newton; raise it when env/contact_overflows is not 0.
    The engine mujoco makes room as it needs it: there it means nothing. [-]"""


@attrs.frozen(kw_only=True)
class MotionCfg:
    """Which motions are tracked and how they are read."""

    data: str | None = None
    """Folder of the motion library (the `_ha` one); None: the task's demo library."""
    robot_dir: str | None = None
    """Robot motions; None: `<data>/robot`."""
    object_dir: str | None = None
    """Object motions; None: `<data>/objects`."""
    object_usd: str | tuple[str, ...] | None = None
    """Object assets: a folder, one file, a list of files, or a .txt list; None: `<data>/object_usd`."""
    meta_dir: str | None = None
    """Meta files with the table pose; None: beside the robot motions."""
    bps_dir: str | None = None
    """Basis point sets; None: `<data>/bps`, then the sibling folder without `_ha`."""
    target_fps: float = attrs.field(default=50.0, validator=positive())
    """Rate all clips are resampled to. [1/s]"""
    source_fps: float | None = attrs.field(default=None, validator=positive())
    """Frame rate of files that do not state theirs; None: 30. [1/s]"""
    quat_order: str = attrs.field(default="auto", validator=one_of("auto", "wxyz", "xyzw"))
    """Order of root quaternions in the files; auto: the one in which the pelvis stands upright."""
    map_23dof: bool = False
    """Use motions of the 23-joint G1, their missing joints at 0; false: refuse them."""
    use_packed: bool = True
    """Load the library's packed store, or the one in the user's cache, where it is as new as the files."""
    derive: str = attrs.field(default="auto", validator=one_of("auto", "ahead", "on_demand"))
    """When body poses and velocities are computed: once, ahead of time, or when a frame is asked for; auto: by their size."""
    on_bad_clip: str = attrs.field(default="stop", validator=one_of("stop", "skip"))
    """Whether a clip that cannot be used stops the run or is left out; it is reported either way."""
    filter_motion_keys: tuple[str, ...] | None = None
    """Stems to keep (all exact: in this order) or regular expressions matched whole; None: all."""
    remove_motion_keys: tuple[str, ...] = ()
    """Prefixes of stems to leave out."""
    max_unique_motions: int | None = attrs.field(default=None, validator=at_least(1))
    """Upper bound of the number of motions; None: all. [-]"""
    interleave_by_object: bool = False
    """Take the capped set round-robin over object classes instead of in sorted order."""
    shard_by_rank: bool = False
    """Give each process its own part of the motions."""
    shard_rank: int | None = attrs.field(default=None, validator=at_least(0))
    """Rank used for sharding; None: the process's own. [-]"""
    shard_world_size: int | None = attrs.field(default=None, validator=at_least(1))
    """World size used for sharding; None: the run's own. [-]"""


@attrs.frozen(kw_only=True)
class CommandCfg:
    """The reference command: future window, start frames, reset noise."""

    num_future_frames: int = attrs.field(default=10, validator=at_least(1))
    """Frames in the future window, the current one included. [-]"""
    dt_future_ref_frames: float = attrs.field(default=0.1, validator=positive())
    """Spacing of the future window. [s]"""
    start_from_first_frame: bool = False
    """Start every episode at frame 0."""
    sample_from_n_initial_frames: int | None = attrs.field(default=None, validator=at_least(1))
    """Start uniformly within the first n frames; None: within the whole motion. [frames]"""
    sample_before_contact: bool = False
    """Start uniformly before the first contact frame; replaces any other draw."""
    sample_before_contact_margin: int = attrs.field(default=10, validator=at_least(0))
    """How long before the first contact the latest start is. [frames]"""
    object_init_z_offset: float = attrs.field(default=0.0, validator=finite())
    """Added to the object's height at reset. [m]"""
    init_z_offset: float = attrs.field(default=0.0, validator=finite())
    """Added to the robot's height at reset. [m]"""
    use_motion_hand_actions: bool = False
    """Overwrite the two hand primitives of the action with the motion's hand actions."""
