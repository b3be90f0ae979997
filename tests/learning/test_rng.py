from __future__ import annotations

import random

import numpy as np
import torch

from grail_framework.learning.rng import rng_state, seed_everything, set_rng_state

CPU = torch.device("cpu")


def draw() -> tuple[float, float, float, float]:
    return random.random(), random.gauss(0.0, 1.0), float(np.random.standard_normal()), torch.randn(1).item()


def test_all_generators_continue_where_they_were():
    seed_everything(4)
    draw()  # leaves Python's and numpy's second Gaussian cached
    state = rng_state(CPU)
    expected = [draw() for _ in range(3)]
    seed_everything(5)
    set_rng_state(state, CPU)
    assert [draw() for _ in range(3)] == expected


def test_seeds_repeat():
    seed_everything(7)
    first = draw()
    seed_everything(7)
    assert draw() == first
