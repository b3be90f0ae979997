from __future__ import annotations

import importlib.util
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from grail_framework.learning.distributed import gather_on_main, make_accelerator, to_cpu

SCRIPT = Path(__file__).with_name("one_rank.py")


def start(rank: int, port: int, target: Path) -> subprocess.Popen[str]:
    launched = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": 2, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    environment = os.environ | {"OMP_NUM_THREADS": "1"} | {name: str(value) for name, value in launched.items()}
    command = [sys.executable, str(SCRIPT), str(rank), str(target)]
    return subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)


@pytest.mark.slow
def test_two_processes_agree_and_equal_one_with_all_environments(tmp_path: Path):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    ranks = [start(rank, port, tmp_path / f"{rank}.pt") for rank in range(2)]
    for process in ranks:
        _, errors = process.communicate(timeout=110)
        assert process.returncode == 0, errors
    first, second = (torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in range(2))

    spec = importlib.util.spec_from_file_location("one_rank", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    one_rank: Any = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(one_rank)
    alone = one_rank.updated(slice(0, 8), 8, seed=5, rank=0)
    assert first.keys() == second.keys() == alone.keys()
    for name, value in first.items():
        assert torch.equal(value, second[name]), name
        torch.testing.assert_close(value, alone[name], rtol=1e-4, atol=1e-6, msg=lambda text, name=name: f"{name}: {text}")


def test_one_process_gathers_itself():
    assert gather_on_main(make_accelerator(cpu=True), 3) == [3]


def test_copies_are_compact_and_plain():
    base = torch.arange(100.0)
    copied = to_cpu({"view": base[:2], "nested": [(base[3],)]})
    assert copied["view"].untyped_storage().nbytes() == 8
    base.zero_()
    assert copied["view"].tolist() == [0.0, 1.0]
    assert copied["nested"][0][0].item() == 3.0
