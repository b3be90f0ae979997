"""When each hand should touch the object and where, from the contact points of a clip."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from grail_framework.motion.clip import HANDS, ContactLabels

if TYPE_CHECKING:
    from grail_framework.motion.clip import MotionClip


def derive_contact_labels(clip: MotionClip, num_frames: int, target_fps: float) -> ContactLabels | None:
    """Spread the contact points of source frames over the target frames.

    Source frame k with points labels the target frames from int(k r) to int((k + 1) r) inclusive, r the ratio of the rates, and
    puts the mean of the points there; neighbours overlap by one frame, where the later one counts (GRAIL release).

    Args:
        clip: a motion, not resampled.
        num_frames: length of the resampled motion.
        target_fps: rate of the resampled motion. [1/s]

    Returns:
        Labels and centres in the object's frame; None for a clip whose files have no contact points at all.
    """
    if clip.object is None or clip.object.contact_points is None:
        return None
    ratio = target_fps / clip.object.fps
    label = np.zeros((num_frames, len(HANDS)), dtype=np.float32)
    center = np.zeros((num_frames, len(HANDS), 3), dtype=np.float32)
    for hand, name in enumerate(HANDS):
        for frame, points in sorted(clip.object.contact_points.get(name, {}).items()):
            if len(points):
                span = slice(int(frame * ratio), min(num_frames, int((frame + 1) * ratio) + 1))
                label[span, hand] = 1.0
                center[span, hand] = points.mean(axis=0)
    return ContactLabels(label=label, center=center)


def first_contact_frame(labels: ContactLabels | None, num_frames: int) -> int:
    """Return the first frame in which any hand is labelled; `num_frames` where none is."""
    if labels is None:
        return num_frames
    touched = (labels.label > 0.5).any(axis=-1)
    return int(touched.argmax()) if touched.any() else num_frames
