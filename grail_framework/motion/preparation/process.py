"""One retargeted motion made ready for training, step by step as the GRAIL release does it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs
import numpy as np

from grail_framework.errors import ConfigError, DataError
from grail_framework.motion.clip import HANDS
from grail_framework.motion.preparation.arms import blend_shoulder, rest_left_arm, straighten_wrists
from grail_framework.motion.preparation.hands import (
    close_from,
    find_lift_frame,
    first_contact,
    from_contacts,
    hold_closed,
    hold_closed_until_margin,
)
from grail_framework.motion.preparation.placement import clear_table, correct_object_height, raise_to_ground

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from grail_framework.motion.clip import MotionClip
    from grail_framework.robots.spec import RobotSpec


class NoLiftError(DataError):
    """A motion whose object is never lifted."""


@attrs.frozen(kw_only=True)
class ProcessOptions:
    """What is done to a motion. The defaults are what the release's own wrapper passes."""

    include_contact_points: bool = True
    """Keep the contact points, those from the lift on; the files must have both hands' keys."""
    grasp_from_lift: bool = True
    """The object's lift is the grasp; false: the first contact is, and all contact points are kept."""
    lift_threshold: float = 0.02
    """Rise of the object above its first height that counts as lifted. [m]"""
    grasp_anticipation_frames: int = 10
    """Frames by which the hand's command comes before the grasp. [-]"""
    treat_hands_equally: bool = False
    """Keep both arms and close each hand for its own contacts; false: a right-handed motion with the left arm at rest."""
    table_size: tuple[float, float, float] = (1.5, 0.7, 0.04)
    """Size of the table along x, y, z, whatever the meta file says. [m]"""
    shoulder_first_frame_blend: bool = False
    """Turn the right shoulder's roll by -20 degrees at the first frame, fading over 4 s."""
    right_hand_closed_until_seconds: float | None = None
    """Close the right hand during the first seconds. [s]"""
    right_hand_closed_until_first_close_margin_seconds: float | None = None
    """Close the right hand from the start until this time before it closes by itself; goes before the above. [s]"""
    zero_out_wrist: bool = False
    """Set all wrist joints to 0 first."""
    z_correction: bool = False
    """Raise the object by 25 mm and move the table by 50 mm along -y."""
    robot_edits_only: bool = False
    """The motions have been processed already: only wrists, shoulder and the right hand's closing are edited."""


@attrs.frozen(kw_only=True, eq=False)
class Processed:
    """A motion made ready, and what is worth telling about it."""

    clip: MotionClip
    notes: tuple[str, ...]
    lift_frame: int | None


def process_clip(clip: MotionClip, robot: RobotSpec, options: ProcessOptions) -> Processed:
    """Make one motion ready for training.

    Raise it out of the ground, rest the left arm, move the table off the legs, find the lift, derive the hands' commands, keep the
    contact points from the lift on. The object's frame rate becomes that of both files, and the object's name stays in the meta
    file alone.

    Raises:
        NoLiftError: the object is never lifted, and `grasp_from_lift` is on.
        DataError: the motion has no object, lacks contact points it should have, or lacks a joint.
        ConfigError: an option that needs a table or hand commands meets a motion without.
    """
    if options.zero_out_wrist:
        clip = straighten_wrists(clip)
    if options.robot_edits_only:
        return Processed(clip=_edit_robot(clip, options), notes=(), lift_frame=None)
    track = clip.object
    if track is None or len(track.pos) == 0:
        raise DataError(
            f"{clip.path} (motion {clip.key!r}): no object motion (objects/{clip.key}.pkl); this step needs the object's lift"
        )
    notes: list[str] = []
    if abs(track.fps - clip.fps) > 1e-6:
        notes.append(f"robot at {clip.fps:g} fps, object at {track.fps:g}: the object's is written for both, as in the release")
    clip, lift = _place(clip, robot, options, notes)
    contacts = _kept_contacts(clip, options, lift)
    action = _hand_action(clip, options, lift)
    assert clip.object is not None
    clip = attrs.evolve(
        clip,
        fps=clip.object.fps,
        hand_action=action,
        object=attrs.evolve(clip.object, contact_points=contacts),
        table_size=None if clip.table_pos is None else np.array(options.table_size, dtype=np.float32),
    )
    return Processed(clip=clip, notes=tuple(notes), lift_frame=lift)


def _place(clip: MotionClip, robot: RobotSpec, options: ProcessOptions, notes: list[str]) -> tuple[MotionClip, int | None]:
    clip, raised = raise_to_ground(clip, robot)
    if raised:
        notes.append(f"raised by {raised:.4f} m")
    if options.z_correction:
        if clip.table_pos is None:
            raise ConfigError(f"{clip.path} (motion {clip.key!r}): --z-correction needs a table in the meta file")
        clip = correct_object_height(clip, options.table_size[1])
    if not options.treat_hands_equally:
        clip = rest_left_arm(clip)
    if options.shoulder_first_frame_blend:
        clip = blend_shoulder(clip)
    clip, moved = clear_table(clip, robot, options.table_size)
    if moved:
        notes.append(moved)
    if not options.grasp_from_lift:
        return clip, None
    assert clip.object is not None
    lift = find_lift_frame(clip.object.pos[:, 2], options.lift_threshold)
    if lift is None:
        raise NoLiftError(f"the object never rises by {options.lift_threshold:g} m")
    return clip, lift


def _kept_contacts(
    clip: MotionClip, options: ProcessOptions, lift: int | None
) -> dict[str, dict[int, NDArray[np.floating]]] | None:
    if not options.include_contact_points:
        return None
    contacts = _contacts(clip, *HANDS)
    return {
        hand: {frame: own for frame, own in points.items() if lift is None or frame >= lift}
        for hand, points in contacts.items()
    }


def _contacts(clip: MotionClip, *hands: str) -> dict[str, dict[int, NDArray[np.floating]]]:
    assert clip.object is not None
    found = clip.object.contact_points or {}
    for hand in hands:
        if hand not in found:
            raise DataError(
                f"KeyError: objects/{clip.key}.pkl has no 'contact_points_{hand}_hand'; both hands' keys are needed. Write an empty "
                "dictionary for a hand that touches nothing, or leave contact points out with --no-include-contact-points "
                "(contact-gated rewards then have no labels)"
            )
    return found


def _hand_action(clip: MotionClip, options: ProcessOptions, lift: int | None) -> NDArray[np.float32]:
    assert clip.object is not None
    frames = len(clip.root_pos)
    if options.treat_hands_equally:
        found = clip.object.contact_points or {}
        contacts = {hand: found.get(hand, {}) for hand in HANDS}
        starts = from_contacts(contacts, lift_frame=lift, anticipation=options.grasp_anticipation_frames)
    else:
        grasp = lift if lift is not None else first_contact(_contacts(clip, "right")["right"])
        if grasp is None:
            raise DataError(f"objects/{clip.key}.pkl: no contact points of the right hand, so no grasp; use --grasp-from-lift")
        starts = {"left": None, "right": max(0, grasp - options.grasp_anticipation_frames)}
    action = np.stack([close_from(starts[hand], frames) for hand in HANDS], axis=-1)
    # The files' common rate from here on is the object's.
    return _edit_right_hand(action, clip.object.fps, options)


def _edit_robot(clip: MotionClip, options: ProcessOptions) -> MotionClip:
    if options.shoulder_first_frame_blend:
        clip = blend_shoulder(clip)
    closing = (options.right_hand_closed_until_seconds, options.right_hand_closed_until_first_close_margin_seconds)
    if all(value is None for value in closing):
        return clip
    if clip.hand_action is None:
        raise ConfigError(f"{clip.path} (motion {clip.key!r}): no hand_action_right to edit; process the raw motions first")
    return attrs.evolve(clip, hand_action=_edit_right_hand(clip.hand_action, clip.fps, options))


def _edit_right_hand(action: NDArray[np.float32], fps: float, options: ProcessOptions) -> NDArray[np.float32]:
    right = HANDS.index("right")
    edited = action.copy()
    if options.right_hand_closed_until_first_close_margin_seconds is not None:
        margin = options.right_hand_closed_until_first_close_margin_seconds
        edited[:, right] = hold_closed_until_margin(action[:, right], margin, fps)
    elif options.right_hand_closed_until_seconds is not None:
        edited[:, right] = hold_closed(action[:, right], options.right_hand_closed_until_seconds, fps)
    return edited
