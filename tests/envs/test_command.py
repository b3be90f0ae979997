"""Start frames: the rule of each setting, which one wins, and what is logged."""

import logging

import attrs
import numpy as np
import pytest
import torch

from grail_framework.config import CommandCfg
from grail_framework.envs.command import ReferenceCommand
from grail_framework.errors import CheckpointError
from grail_framework.motion.library import MotionLibrary
from grail_framework.testing.fakes import standing_clip

DRAWS = 4000


def touching(robot, key, frames, first):
    """A clip whose right hand touches from frame `first` on; None: never."""
    clip = standing_clip(robot, key=key, frames=frames, with_object=True)
    points = {} if first is None else {first: np.zeros((1, 3), dtype=np.float32)}
    return attrs.evolve(clip, object=attrs.evolve(clip.object, contact_points={"left": {}, "right": points}))


@pytest.fixture(scope="module")
def motions(robot):
    clips = [touching(robot, "late", 60, 40), touching(robot, "early", 60, 8), touching(robot, "never", 30, None)]
    return MotionLibrary.build(clips, robot, device="cpu")


@pytest.fixture(scope="module")
def robot():
    from grail_framework.robots.g1 import g1_43dof

    return g1_43dof()


def starts(motions, **settings):
    """Set of start frames that occur, by motion."""
    generator = torch.Generator().manual_seed(0)
    command = ReferenceCommand(CommandCfg(**settings), motions, DRAWS, 0.02, generator)
    command.draw_start(torch.ones(DRAWS, dtype=torch.bool))
    return {key: set(command.start[command.motion_ids == i].tolist()) for i, key in enumerate(motions.keys)}


@pytest.mark.parametrize(
    ("settings", "late", "early", "never"),
    [
        ({}, 59, 59, 29),  # the whole motion but its last frame, which would end the episode at once
        ({"start_from_first_frame": True}, 1, 1, 1),
        ({"sample_from_n_initial_frames": 20}, 20, 20, 20),
        ({"sample_from_n_initial_frames": 50}, 50, 50, 30),
        # Before the first contact less the margin; where that is not above 0, from frame 0; without contact the motion's own length.
        ({"sample_before_contact": True, "sample_before_contact_margin": 10}, 30, 1, 20),
        ({"sample_before_contact": True, "sample_before_contact_margin": 3}, 37, 5, 27),
        ({"sample_before_contact": True, "sample_from_n_initial_frames": 5, "start_from_first_frame": True}, 30, 1, 20),
    ],
)
def test_start_frames_are_uniform_on_a_range_from_zero(motions, settings, late, early, never):
    found = starts(motions, **settings)
    assert found == {"late": set(range(late)), "early": set(range(early)), "never": set(range(never))}


def test_an_environment_follows_the_motion_it_is_given(motions):
    command = ReferenceCommand(CommandCfg(), motions, 4, 0.02, torch.Generator(), motion_ids=(2, 0, 0, 1))
    assert command.num_frames.tolist() == [30, 60, 60, 60]
    in_turn = ReferenceCommand(CommandCfg(), motions, 4, 0.02, torch.Generator())
    assert in_turn.motion_ids.tolist() == [0, 1, 2, 0]
    state = command.state_dict()
    assert state["motion_ids"].tolist() == [2, 0, 0, 1]
    with pytest.raises(CheckpointError, match="follow other motions than those of this run"):
        in_turn.load_state_dict(state)


def test_first_contacts_are_logged(motions, caplog):
    with caplog.at_level(logging.INFO, logger="grail_framework.envs.command"):
        starts(motions, sample_before_contact=True)
    assert caplog.messages == [
        "[TrackingCommand] Derived first contact frames from motion_lib (left_hand+right_hand, 3 motions)",
        "[TrackingCommand]   late: first contact at frame 40, 60 frames",
        "[TrackingCommand]   early: first contact at frame 8, 60 frames",
        "[TrackingCommand]   never: no contact, 30 frames",
        "[TrackingCommand] First contact frame: min 8, max 40, mean 26.0, median 30.0",
    ]
