"""Batched rotations in torch: unit quaternions wxyz, rotation vectors, matrices.

Every function takes any leading batch shape (broadcast where two arguments meet), works on any device and floating dtype, and has
no branch on values, so that nothing waits for the device.
"""

from __future__ import annotations

from functools import cache

import torch

_SMALL = 1e-7
"""Squared angle [rad^2] below which series replace quotients that would be 0/0."""


def quat_mul(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Multiply quaternions (..., 4): the rotation b followed by the rotation a."""
    aw, av = a[..., :1], a[..., 1:]
    bw, bv = b[..., :1], b[..., 1:]
    w = aw * bw - (av * bv).sum(-1, keepdim=True)
    cross = torch.linalg.cross(*torch.broadcast_tensors(av, bv))  # it demands equal ranks
    return torch.cat((w, torch.addcmul(torch.addcmul(cross, aw, bv), bw, av)), dim=-1)


def quat_conj(q: torch.Tensor) -> torch.Tensor:
    """Conjugate quaternions (..., 4): the inverse of unit ones."""
    return torch.cat((q[..., :1], -q[..., 1:]), dim=-1)


def quat_relative(frame: torch.Tensor, q: torch.Tensor) -> torch.Tensor:
    """Express unit quaternions q (..., 4) in the frame of unit quaternions `frame` (..., 4): frame^-1 q."""
    fw, fv = frame[..., :1], frame[..., 1:]
    qw, qv = q[..., :1], q[..., 1:]
    fv, qv = torch.broadcast_tensors(fv, qv)
    w = fw * qw + (fv * qv).sum(-1, keepdim=True)
    return torch.cat((w, torch.addcmul(torch.addcmul(torch.linalg.cross(qv, fv), fw, qv), qw, fv, value=-1.0)), dim=-1)


def quat_normalize(q: torch.Tensor) -> torch.Tensor:
    """Scale quaternions (..., 4) to unit length; a zero quaternion stays zero."""
    return q / torch.linalg.vector_norm(q, dim=-1, keepdim=True).clamp_min(torch.finfo(q.dtype).tiny)


def quat_apply(q: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    """Rotate vectors v (..., 3) by unit quaternions q (..., 4)."""
    w, xyz = q[..., :1], q[..., 1:]
    xyz, v = torch.broadcast_tensors(xyz, v)  # torch.linalg.cross demands equal ranks
    half = torch.linalg.cross(xyz, v)
    t = half + half
    return torch.addcmul(v, w, t) + torch.linalg.cross(xyz, t)


def quat_apply_inverse(q: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    """Rotate vectors v (..., 3) by the inverse of unit quaternions q (..., 4)."""
    w, xyz = q[..., :1], q[..., 1:]
    xyz, v = torch.broadcast_tensors(xyz, v)
    half = torch.linalg.cross(xyz, v)
    t = half + half
    return torch.addcmul(v, w, t, value=-1.0) + torch.linalg.cross(xyz, t)


def quat_from_rotvec(rotvec: torch.Tensor) -> torch.Tensor:
    """Turn rotation vectors (..., 3) [rad] into unit quaternions (..., 4)."""
    angle_sq = (rotvec * rotvec).sum(-1, keepdim=True)
    small = angle_sq < _SMALL
    half = 0.5 * torch.where(small, torch.ones_like(angle_sq), angle_sq).sqrt()
    # sin(a/2)/a and cos(a/2): their Taylor series near 0 are exact to float64 rounding at this bound.
    scale = torch.where(small, 0.5 - angle_sq / 48.0, half.sin() / (2.0 * half))
    w = torch.where(small, 1.0 - angle_sq / 8.0, half.cos())
    return torch.cat((w, rotvec * scale), dim=-1)


def rotvec_from_quat(q: torch.Tensor) -> torch.Tensor:
    """Turn unit quaternions (..., 4) into rotation vectors (..., 3) of length at most pi [rad]."""
    w, xyz = q[..., :1], q[..., 1:]
    sign = torch.where(w < 0.0, -1.0, 1.0).to(q.dtype)  # q and -q are one rotation; the shorter way is wanted
    w, xyz = w * sign, xyz * sign
    sin_sq = (xyz * xyz).sum(-1, keepdim=True)
    small = sin_sq < _SMALL
    sin_half = torch.where(small, torch.ones_like(sin_sq), sin_sq).sqrt()
    scale = torch.where(small, 2.0 + sin_sq / 3.0, 2.0 * torch.atan2(sin_half, w) / sin_half)
    return xyz * scale


def yaw_quat(q: torch.Tensor) -> torch.Tensor:
    """Keep the heading of unit quaternions (..., 4): x and y set to 0, renormalised.

    A rotation by pi about a horizontal axis has no heading; it gives the identity.
    """
    zero = torch.zeros_like(q[..., 0])
    norm_sq = q[..., 0] ** 2 + q[..., 3] ** 2
    lost = norm_sq < torch.finfo(q.dtype).eps ** 2
    scale = torch.where(lost, torch.ones_like(norm_sq), norm_sq).rsqrt()
    w = torch.where(lost, torch.ones_like(norm_sq), q[..., 0] * scale)
    z = torch.where(lost, zero, q[..., 3] * scale)
    return torch.stack((w, zero, zero, z), dim=-1)


def quat_angle(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Geodesic angle between unit quaternions (..., 4), in [0, pi] [rad], shape (...)."""
    # The chords to b and to -b, which is the same rotation: exact for small angles, where the dot product loses half the digits.
    one, other = torch.linalg.vector_norm(a - b, dim=-1), torch.linalg.vector_norm(a + b, dim=-1)
    return 4.0 * torch.atan2(torch.minimum(one, other), torch.maximum(one, other))


def quat_to_matrix(q: torch.Tensor) -> torch.Tensor:
    """Turn unit quaternions (..., 4) into rotation matrices (..., 3, 3)."""
    w, x, y, z = q.unbind(-1)
    return torch.stack(
        (
            1.0 - 2.0 * (y * y + z * z),
            2.0 * (x * y - w * z),
            2.0 * (x * z + w * y),
            2.0 * (x * y + w * z),
            1.0 - 2.0 * (x * x + z * z),
            2.0 * (y * z - w * x),
            2.0 * (x * z - w * y),
            2.0 * (y * z + w * x),
            1.0 - 2.0 * (x * x + y * y),
        ),
        dim=-1,
    ).reshape(*q.shape[:-1], 3, 3)


def rotation_6d(q: torch.Tensor) -> torch.Tensor:
    """First two columns of the rotation matrix of unit quaternions (..., 4), row-major: m00, m01, m10, m11, m20, m21; (..., 6)."""
    first, second, sign, one = _columns_6d(q.device, q.dtype)
    products = q.index_select(-1, first) * q.index_select(-1, second) * sign
    return products[..., :6] + products[..., 6:] + one


@cache
def _columns_6d(device: torch.device, dtype: torch.dtype) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """The six entries as sums of two products of quaternion components: both factors and the sign (12,), the constant (6,).

    First products: 1 - 2yy, 2xy, 2xy, 1 - 2xx, 2xz, 2yz; then -2zz, -2wz, 2wz, -2zz, -2wy, 2wx.
    """
    w, x, y, z = range(4)
    first, second = (y, x, x, x, x, y, z, w, w, z, w, w), (y, y, y, x, z, z, z, z, z, z, y, x)
    sign = (-2.0, 2.0, 2.0, -2.0, 2.0, 2.0, -2.0, -2.0, 2.0, -2.0, -2.0, 2.0)
    return (
        torch.tensor(first, device=device),
        torch.tensor(second, device=device),
        torch.tensor(sign, device=device, dtype=dtype),
        torch.tensor((1.0, 0.0, 0.0, 1.0, 0.0, 0.0), device=device, dtype=dtype),
    )


def matrix_to_6d(matrix: torch.Tensor) -> torch.Tensor:
    """First two columns of matrices (..., 3, 3), row-major: m00, m01, m10, m11, m20, m21; (..., 6)."""
    return matrix[..., :2].reshape(*matrix.shape[:-2], 6)


def slerp(a: torch.Tensor, b: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
    """Interpolate unit quaternions a, b (..., 4) along the shorter arc; t (...) in [0, 1]."""
    dot = (a * b).sum(-1, keepdim=True)
    b = torch.where(dot < 0.0, -b, b)
    # The angle from both chord lengths stays exact where acos of the dot product loses half the digits.
    angle = 2.0 * torch.atan2(torch.linalg.vector_norm(a - b, dim=-1), torch.linalg.vector_norm(a + b, dim=-1))
    angle = angle.unsqueeze(-1)
    small = angle < 1e-4
    sin = torch.where(small, torch.ones_like(angle), angle).sin()
    t = t.unsqueeze(-1)
    weight_a = torch.where(small, 1.0 - t, ((1.0 - t) * angle).sin() / sin)
    weight_b = torch.where(small, t, (t * angle).sin() / sin)
    return quat_normalize(weight_a * a + weight_b * b)
