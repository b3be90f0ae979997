"""Timing on a GPU: graphs, waits and memory."""

import pytest
import torch

from grail_framework.bench.env import _free_memory
from grail_framework.bench.timing import captured, count_waits, seconds


def test_on_a_cpu_nothing_is_captured_and_no_memory_counted():
    work = object
    assert captured(work, torch.device("cpu")) is work
    assert _free_memory(torch.device("cpu")) is None


@pytest.mark.gpu
def test_a_captured_call_runs_again_on_the_same_memory():
    device = torch.device("cuda")
    value = torch.zeros(4, device=device)
    replay = captured(lambda: value.add_(1.0), device)
    before = value.clone()
    assert seconds(lambda: [replay() for _ in range(5)], device) > 0.0
    assert (value - before == 5.0).all()


@pytest.mark.gpu
def test_every_wait_of_torch_is_counted():
    value = torch.ones(3, device="cuda")
    value.sum().item()
    assert count_waits(lambda: value + 1.0) == 0
    assert count_waits(lambda: [value.sum().item() for _ in range(3)]) == 3


@pytest.mark.gpu
def test_memory_is_what_the_device_has_less():
    device = torch.device("cuda")
    before = _free_memory(device)
    held = torch.zeros(256 << 20, dtype=torch.uint8, device=device)
    after = _free_memory(device)
    assert before - after == pytest.approx(held.nbytes, rel=0.1)
