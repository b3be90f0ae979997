from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation, Slerp

from grail_framework.robots import rotations as rot


def random_quats(n: int, seed: int = 0) -> torch.Tensor:
    q = torch.randn(n, 4, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return rot.quat_normalize(q)


def scipy_of(q: torch.Tensor) -> Rotation:
    return Rotation.from_quat(q.numpy(), scalar_first=True)


def same_rotation(q: torch.Tensor, expected: Rotation, atol: float = 1e-12) -> None:
    assert (scipy_of(q) * expected.inv()).magnitude() == pytest.approx(0.0, abs=atol)


def test_products_and_rotated_vectors_agree_with_scipy() -> None:
    a, b = random_quats(50, 1), random_quats(50, 2)
    v = torch.randn(50, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    same_rotation(rot.quat_mul(a, b), scipy_of(a) * scipy_of(b), 1e-7)
    same_rotation(rot.quat_relative(a, b), scipy_of(a).inv() * scipy_of(b), 1e-7)
    same_rotation(rot.quat_conj(a), scipy_of(a).inv(), 1e-7)
    np.testing.assert_allclose(rot.quat_apply(a, v), scipy_of(a).apply(v.numpy()), atol=1e-12)
    np.testing.assert_allclose(rot.quat_apply_inverse(a, v), scipy_of(a).inv().apply(v.numpy()), atol=1e-12)


def test_one_vector_is_rotated_by_many_quaternions_and_the_reverse() -> None:
    q, v = random_quats(6).reshape(2, 3, 4), torch.tensor([0.0, 0.0, 1.0], dtype=torch.float64)
    assert rot.quat_apply(q, v).shape == (2, 3, 3)
    assert rot.quat_apply(q[0, 0], torch.ones(5, 3, dtype=torch.float64)).shape == (5, 3)


@pytest.mark.parametrize("angle", [0.0, 1e-12, 1e-5, 3e-4, 4e-4, 0.5, 3.0, math.pi - 1e-9, math.pi])
def test_rotation_vectors_go_there_and_back(angle: float) -> None:
    axis = torch.tensor([2.0, -1.0, 2.0], dtype=torch.float64) / 3.0
    q = rot.quat_from_rotvec(axis * angle)
    np.testing.assert_allclose(q, Rotation.from_rotvec(axis.numpy() * angle).as_quat(scalar_first=True), atol=1e-15)
    np.testing.assert_allclose(rot.rotvec_from_quat(q), axis * angle, atol=1e-12)
    np.testing.assert_allclose(rot.rotvec_from_quat(-q).abs(), (axis * angle).abs(), atol=1e-12)


def test_rotation_vector_takes_the_shorter_way() -> None:
    q = rot.quat_from_rotvec(torch.tensor([0.0, 0.0, 4.0], dtype=torch.float64))
    np.testing.assert_allclose(rot.rotvec_from_quat(q), [0.0, 0.0, 4.0 - 2.0 * math.pi], atol=1e-12)


def test_yaw_is_the_heading_and_survives_a_lost_heading() -> None:
    q = torch.from_numpy(Rotation.from_euler("z", 0.7).as_quat(scalar_first=True))
    tilted = rot.quat_mul(q, torch.from_numpy(Rotation.from_euler("y", 0.4).as_quat(scalar_first=True)))
    np.testing.assert_allclose(rot.yaw_quat(tilted), q, atol=1e-12)
    upside_down = torch.tensor([[0.0, 1.0, 0.0, 0.0]])
    assert rot.yaw_quat(upside_down).tolist() == [[1.0, 0.0, 0.0, 0.0]]


def test_angle_is_geodesic_and_blind_to_the_sign() -> None:
    a, b = random_quats(40, 4), random_quats(40, 5)
    np.testing.assert_allclose(rot.quat_angle(a, b), (scipy_of(a).inv() * scipy_of(b)).magnitude(), atol=1e-12)
    np.testing.assert_allclose(rot.quat_angle(a, -a), 0.0, atol=1e-12)
    tiny = rot.quat_from_rotvec(torch.tensor([1e-6, 0.0, 0.0]))
    assert rot.quat_angle(torch.tensor([1.0, 0.0, 0.0, 0.0]), tiny).item() == pytest.approx(1e-6, rel=1e-4)


def test_matrix_and_its_first_two_columns() -> None:
    q = random_quats(20, 6)
    matrix = scipy_of(q).as_matrix()
    np.testing.assert_allclose(rot.quat_to_matrix(q), matrix, atol=1e-12)
    six = np.stack([matrix[:, r, c] for r in range(3) for c in range(2)], axis=-1)
    np.testing.assert_allclose(rot.rotation_6d(q), six, atol=1e-12)
    np.testing.assert_allclose(rot.matrix_to_6d(torch.from_numpy(matrix)), six, atol=1e-12)


def test_slerp_agrees_with_scipy_and_takes_the_shorter_arc() -> None:
    a, b = random_quats(30, 7), random_quats(30, 8)
    for i, t in enumerate(np.linspace(0.0, 1.0, 30)):
        expected = Slerp([0, 1], Rotation.concatenate([scipy_of(a[i]), scipy_of(b[i])]))(t)
        for other in (b[i], -b[i]):
            same_rotation(rot.slerp(a[i], other, torch.tensor(t, dtype=torch.float64)), expected, 1e-7)


def test_slerp_of_equal_rotations_is_that_rotation() -> None:
    q = random_quats(5, 9).float()
    np.testing.assert_allclose(rot.slerp(q, q, torch.full((5,), 0.3)), q, atol=1e-6)
