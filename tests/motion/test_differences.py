from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter1d
from scipy.spatial.transform import Rotation

from grail_framework.motion import differences as diff
from grail_framework.robots.rotations import quat_from_rotvec

FPS = 50.0
LENGTHS = [30, 1, 2, 3, 25]


@pytest.fixture
def spans() -> diff.Spans:
    return diff.Spans.of_lengths(LENGTHS, "cpu")


def each(values: torch.Tensor) -> list[np.ndarray]:
    return [part.numpy() for part in values.split(LENGTHS)]


def noise(*shape: int) -> torch.Tensor:
    return torch.randn(sum(LENGTHS), *shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def test_spans() -> None:
    spans = diff.Spans.of_lengths([2, 3], "cpu")
    assert spans.first.tolist() == [0, 0, 2, 2, 2]
    assert spans.last.tolist() == [1, 1, 4, 4, 4]
    assert spans.shifted(1).tolist() == [1, 1, 3, 4, 4]
    assert spans.shifted(-2).tolist() == [0, 0, 2, 2, 2]


def test_smoothing_equals_scipy_motion_by_motion(spans: diff.Spans) -> None:
    values = noise(4, 3)
    for got, given in zip(each(diff.smooth(values, spans)), each(values), strict=True):
        np.testing.assert_allclose(got, gaussian_filter1d(given, 2.0, axis=0, mode="nearest"), atol=1e-12)


def test_joint_velocity_is_a_forward_difference_with_the_second_last_repeated() -> None:
    q = torch.tensor([0.0, 1.0, 3.0, 6.0, 10.0]).unsqueeze(-1)
    velocity = diff.joint_velocity(q, diff.Spans.of_lengths([5], "cpu"), FPS)
    assert (velocity / FPS).squeeze(-1).tolist() == [1.0, 2.0, 3.0, 4.0, 3.0]
    velocity = diff.joint_velocity(q, diff.Spans.of_lengths([2, 3], "cpu"), FPS)
    assert (velocity / FPS).squeeze(-1).tolist() == [1.0, 1.0, 3.0, 4.0, 3.0]


def test_body_linear_velocity_is_the_smoothed_gradient(spans: diff.Spans) -> None:
    pos = noise(2, 3)
    for got, given in zip(each(diff.body_linear_velocity(pos, spans, FPS)), each(pos), strict=True):
        gradient = np.gradient(given, axis=0) * FPS if len(given) > 1 else np.zeros_like(given)
        np.testing.assert_allclose(got, gaussian_filter1d(gradient, 2.0, axis=0, mode="nearest"), atol=1e-10)


def test_body_angular_velocity_is_in_world_axes(spans: diff.Spans) -> None:
    quat = quat_from_rotvec(0.3 * noise(2, 3))
    for got, given in zip(each(diff.body_angular_velocity(quat, spans, FPS)), each(quat), strict=True):
        raw = np.zeros((len(given), 2, 3))
        for body in range(2):
            rotation = Rotation.from_quat(given[:, body], scalar_first=True)
            raw[:-1, body] = (rotation[1:] * rotation[:-1].inv()).as_rotvec() * FPS if len(given) > 1 else 0.0
        np.testing.assert_allclose(got, gaussian_filter1d(raw, 2.0, axis=0, mode="nearest"), atol=1e-9)


def test_a_constant_turn_about_a_tilted_axis_keeps_its_world_velocity() -> None:
    axis = torch.tensor([0.6, 0.0, 0.8], dtype=torch.float64)
    start = Rotation.from_euler("xyz", [0.4, -0.3, 1.0])
    turn = Rotation.from_rotvec(np.arange(60)[:, None] / FPS * axis.numpy() * 1.5)
    quat = torch.from_numpy((turn * start).as_quat(scalar_first=True)).unsqueeze(1)
    velocity = diff.body_angular_velocity(quat, diff.Spans.of_lengths([60], "cpu"), FPS)
    np.testing.assert_allclose(velocity[20, 0], 1.5 * axis, atol=1e-9)
    np.testing.assert_allclose(
        diff.object_angular_velocity(quat[:, 0], diff.Spans.of_lengths([60], "cpu"), FPS)[0], 1.5 * axis, atol=1e-9
    )


def test_object_velocity_is_a_backward_difference_with_the_first_copied() -> None:
    pos = torch.tensor([0.0, 1.0, 3.0, 6.0, 10.0]).unsqueeze(-1).expand(5, 3)
    velocity = diff.object_linear_velocity(pos, diff.Spans.of_lengths([5], "cpu"), FPS)
    assert (velocity[:, 0] / FPS).tolist() == [1.0, 1.0, 2.0, 3.0, 4.0]
    velocity = diff.object_linear_velocity(pos, diff.Spans.of_lengths([3, 2], "cpu"), FPS)
    assert (velocity[:, 0] / FPS).tolist() == [1.0, 1.0, 2.0, 4.0, 4.0]
    assert not diff.object_linear_velocity(pos[:1], diff.Spans.of_lengths([1], "cpu"), FPS).any()
