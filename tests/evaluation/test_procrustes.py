import numpy as np
import pytest
import torch
from scipy.linalg import orthogonal_procrustes
from scipy.spatial import procrustes
from scipy.spatial.transform import Rotation

from grail_framework.evaluation.procrustes import similarity_align


@pytest.fixture
def sets():
    """Two noisy, moved and scaled copies of one set of 14 points, five times."""
    generator = np.random.default_rng(0)
    source = generator.normal(size=(5, 14, 3))
    turns = Rotation.random(5, random_state=1).as_matrix()
    target = 1.7 * source @ turns + generator.normal(size=(5, 1, 3)) + 0.2 * generator.normal(size=(5, 14, 3))
    return source, target


def test_equals_scipys_orthogonal_procrustes(sets):
    source, target = sets
    aligned = similarity_align(torch.tensor(source), torch.tensor(target)).numpy()
    for points, wanted, ours in zip(source, target, aligned, strict=True):
        centred, centred_wanted = points - points.mean(0), wanted - wanted.mean(0)
        rotation, strength = orthogonal_procrustes(centred, centred_wanted)
        assert np.linalg.det(rotation) > 0.0  # scipy would take a mirror image too
        expected = strength / (centred**2).sum() * centred @ rotation + wanted.mean(0)
        np.testing.assert_allclose(ours, expected, atol=1e-12)


def test_leaves_the_disparity_of_scipys_procrustes(sets):
    source, target = sets
    aligned = similarity_align(torch.tensor(source), torch.tensor(target)).numpy()
    for points, wanted, ours in zip(source, target, aligned, strict=True):
        *_, disparity = procrustes(wanted, points)
        spread = ((wanted - wanted.mean(0)) ** 2).sum()
        assert ((ours - wanted) ** 2).sum() / spread == pytest.approx(disparity, rel=1e-10)


def test_a_mirror_image_stays_one(sets):
    """The best rotation is that of scipy's Kabsch algorithm, which takes no reflection."""
    source = sets[0][0] - sets[0][0].mean(0)
    mirrored = source * [1.0, 1.0, -1.0]
    aligned = similarity_align(torch.tensor(source), torch.tensor(mirrored)).numpy()
    rotation, _ = Rotation.align_vectors(mirrored, source)
    turned = rotation.apply(source)
    scale = (turned * mirrored).sum() / (source**2).sum()
    np.testing.assert_allclose(aligned, scale * turned, atol=1e-10)
    assert np.abs(aligned - mirrored).max() > 0.1


def test_points_in_one_place_do_no_harm():
    aligned = similarity_align(torch.zeros(1, 14, 3), torch.ones(1, 14, 3))
    torch.testing.assert_close(aligned, torch.ones(1, 14, 3))
