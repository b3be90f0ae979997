"""Joints of motion files: which columns they are, by name or in a known order of the Unitree G1.

Orders: the Unitree G1 MJCF (depth first, leg by leg and arm by arm) and Isaac Lab's articulation of the same robot (breadth first,
left and right in turn).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from grail_framework.motion.clip import HANDS

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from grail_framework.motion.faults import ClipFault
    from grail_framework.motion.readers.entry import Entry

_LEG: Final = ("hip_pitch", "hip_roll", "hip_yaw", "knee", "ankle_pitch", "ankle_roll")
_ARM: Final = ("shoulder_pitch", "shoulder_roll", "shoulder_yaw", "elbow", "wrist_roll", "wrist_pitch", "wrist_yaw")


def _joints(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(f"{name}_joint" for name in names)


JOINT_NAMES: Final = _joints(
    (
        *(f"{side}_{part}" for side in HANDS for part in _LEG),
        *("waist_yaw", "waist_roll", "waist_pitch"),
        *(f"{side}_{part}" for side in HANDS for part in _ARM),
    )
)
"""The 29 joints in the order of the Unitree G1 MJCF, which is that of all files that do not name theirs."""
JOINT_AXES: Final = "yxzyyxyxzyyxzxyyxzyxyzyxzyxyz"
"""Axis of each of `JOINT_NAMES` (Unitree G1 MJCF)."""
ISAAC_JOINT_NAMES: Final = _joints(
    (
        *("left_hip_pitch", "right_hip_pitch", "waist_yaw", "left_hip_roll", "right_hip_roll", "waist_roll"),
        *("left_hip_yaw", "right_hip_yaw", "waist_pitch", "left_knee", "right_knee", "left_shoulder_pitch"),
        *("right_shoulder_pitch", "left_ankle_pitch", "right_ankle_pitch", "left_shoulder_roll", "right_shoulder_roll"),
        *("left_ankle_roll", "right_ankle_roll", "left_shoulder_yaw", "right_shoulder_yaw", "left_elbow", "right_elbow"),
        *("left_wrist_roll", "right_wrist_roll", "left_wrist_pitch", "right_wrist_pitch", "left_wrist_yaw", "right_wrist_yaw"),
    )
)
"""The same joints in the order of Isaac Lab's articulation."""
NUM_HAND_JOINTS: Final = 14
"""Joints of two Dex3 hands; files may carry them behind the body's. Hands have actions of their own here."""
_LOCKED: Final = (
    frozenset(name for name in JOINT_NAMES if "wrist" in name),
    frozenset(
        _joints(("waist_roll", "waist_pitch", "left_wrist_pitch", "left_wrist_yaw", "right_wrist_pitch", "right_wrist_yaw"))
    ),
)
"""Joints that the two 23-joint variants of the G1 lack: the one without wrists, and the product with one waist and wrist joint."""
_VARIANTS_23: Final = tuple(tuple(name for name in JOINT_NAMES if name not in locked) for locked in _LOCKED)


def joint_name(text: str) -> str:
    """Complete a joint name as files write it: `left_knee`, `left_knee_joint` and `left_knee_joint_dof` are one."""
    name = text.strip().removesuffix("_dof").removesuffix("_pos").removesuffix("_joint")
    return f"{name}_joint"


def is_hand_joint(name: str) -> bool:
    """Say whether a joint is of a hand's fingers."""
    return "_hand_" in name


def variant_of_axes(axes: str) -> tuple[str, ...] | None:
    """Find the 23-joint variant whose joints turn about these axes; `?` stands for a joint that never moves."""
    fits = [
        names
        for names in _VARIANTS_23
        if all(axis in ("?", JOINT_AXES[JOINT_NAMES.index(name)]) for axis, name in zip(axes, names, strict=True))
    ]
    return fits[0] if len(fits) == 1 else None


def complete(
    entry: Entry, names: Sequence[str], joint_pos: np.ndarray, *, map_23dof: bool, notes: list[ClipFault]
) -> tuple[tuple[str, ...], np.ndarray]:
    """Leave hand joints out, and bring a motion of a 23-joint G1 to 29 joints where the user asked for it.

    Args:
        entry: the file, for messages.
        names: one a column.
        joint_pos: (T, len(names)) [rad]
        map_23dof: the missing joints stand at 0; false: such a motion is refused.
        notes: what was assumed is appended.

    Raises:
        BadClipError: a motion of a 23-joint G1 that is not to be mapped.
    """
    body = [index for index, name in enumerate(names) if not is_hand_joint(name)]
    names, joint_pos = tuple(names[index] for index in body), joint_pos[:, body]
    if not any(set(names) == set(variant) for variant in _VARIANTS_23):
        return names, joint_pos
    missing = [name for name in JOINT_NAMES if name not in names]
    if not map_23dof:
        entry.fail(
            f"has the 23 joints of a smaller G1 without {', '.join(missing)}; retarget the motion to the 29-joint G1, or write "
            "motion.map_23dof=true to let the missing joints stand at 0"
        )
    notes.append(entry.fault(f"has the 23 joints of a smaller G1: {', '.join(missing)} stand at 0", fatal=False))
    full = np.zeros((len(joint_pos), len(JOINT_NAMES)), dtype=np.float32)
    full[:, [JOINT_NAMES.index(name) for name in names]] = joint_pos
    return JOINT_NAMES, full
