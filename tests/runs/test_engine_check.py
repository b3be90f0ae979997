"""Which engine, device and physics this machine and its packages can run, before any of it is imported."""

from __future__ import annotations

import subprocess
import sys

import attrs
import pytest
import torch

from grail_framework.config import EngineCfg
from grail_framework.config.distributions import Mismatch
from grail_framework.errors import ConfigError, NotFoundError
from grail_framework.registry import Entry, Registry
from grail_framework.runs import engine_check as module
from grail_framework.runs.assembly import engine_device
from grail_framework.runs.engine_check import check_engine
from grail_framework.tasks.motion_tracking import motion_tracking


@pytest.fixture
def registry():
    made = Registry()
    engines = [("mujoco", "core"), ("isaaclab", "core"), ("third", "x")]
    made.commit([Entry(kind="engine", name=name, plugin=plugin, target="x:y") for name, plugin in engines])
    return made


@pytest.fixture
def machine(monkeypatch):
    """A machine with so many GPUs, a torch for a CUDA version, and packages as isaaclab wants them unless told."""

    def make(*, gpus=1, torch="13.0", driver="13.0", versions=(), physics=()):
        monkeypatch.setattr(module, "has_nvidia_gpu", lambda: gpus > 0)
        monkeypatch.setattr(module, "gpu_count", lambda: gpus)
        monkeypatch.setattr(module, "torch_cuda", lambda: torch)
        monkeypatch.setattr(module, "driver_cuda", lambda: driver)
        monkeypatch.setattr(module, "version_mismatches", lambda: list(versions))
        monkeypatch.setattr(module, "physics_mismatches", lambda name: list(physics) if name != "newton" else [])

    return make


@pytest.mark.parametrize("device", ["auto", "cpu", "cuda", "cuda:0", "cuda:1"])
@pytest.mark.parametrize("engine", ["isaaclab", "third"])
def test_what_fits(registry, machine, engine, device):
    machine(gpus=2)
    assert check_engine(EngineCfg(name=engine, device=device), registry) == []


@pytest.mark.parametrize("engine", ["mujoco", "isaaclab", "third"])
def test_no_gpu(registry, machine, engine):
    machine(gpus=0)
    with pytest.raises(ConfigError, match=r"engine\.device: got 'cuda', and there is no NVIDIA GPU here\. Allowed: auto, cpu"):
        check_engine(EngineCfg(name=engine, device="cuda"), registry)
    assert check_engine(EngineCfg(name=engine), registry) == []


@pytest.mark.parametrize(("gpus", "message"), [(1, "1 NVIDIA GPUs .* cuda:0$"), (4, "4 NVIDIA GPUs .* cuda:0 to cuda:3$")])
def test_a_gpu_that_is_not_there(registry, machine, gpus, message):
    machine(gpus=gpus)
    with pytest.raises(ConfigError, match=f"got 'cuda:4', and {message}"):
        check_engine(EngineCfg(name="isaaclab", device="cuda:4"), registry)


def test_a_gpu_for_the_engine_of_the_cpu(registry, machine):
    machine()
    with pytest.raises(
        ConfigError, match=r"allowed for the engine mujoco: auto, cpu\. What runs on a GPU is --engine isaaclab"
    ):
        check_engine(EngineCfg(name="mujoco", device="cuda:0"), registry)


@pytest.mark.parametrize("device", ["auto", "cuda", "cuda:0"])
def test_a_torch_without_cuda(registry, machine, device):
    machine(torch=None)
    with pytest.raises(ConfigError, match=r"torch .* is a build for the CPU.*--device cpu"):
        check_engine(EngineCfg(name="isaaclab", device=device), registry)
    assert check_engine(EngineCfg(name="isaaclab", device="cpu"), registry) == []


def test_a_driver_that_is_too_old(registry, machine):
    machine(torch="13.0", driver="12.8")
    with pytest.raises(ConfigError, match=r"built for CUDA 13\.0, while the NVIDIA driver runs CUDA 12\.8 at most"):
        check_engine(EngineCfg(name="isaaclab"), registry)
    machine(torch="12.8", driver="12.2")  # minor versions are compatible
    assert check_engine(EngineCfg(name="isaaclab"), registry) == []


def test_another_torch_than_isaaclab_wants(registry, machine):
    machine(versions=[Mismatch(requirement="torch==2.11.0", installed="2.9.1", wanted_by="isaaclab 3.0.0")])
    message = r"isaaclab 3\.0\.0 wants torch==2\.11\.0 \(2\.9\.1 is installed\)\. Mend it with pip install 'torch==2\.11\.0'"
    with pytest.raises(ConfigError, match=message):
        check_engine(EngineCfg(name="isaaclab", device="cpu"), registry)
    assert check_engine(EngineCfg(name="mujoco"), registry) == []


def test_physics_whose_package_is_absent(registry, machine):
    machine(physics=[Mismatch(requirement="ovstage==0.2.1", installed=None, wanted_by="isaaclab 3.0.0")])
    message = r"engine\.physics: got 'ovphysx', and .*ovstage==0\.2\.1 \(not installed\).*pip install 'ovstage==0\.2\.1', or"
    with pytest.raises(ConfigError, match=message):
        check_engine(EngineCfg(name="isaaclab", physics="ovphysx"), registry)
    assert check_engine(EngineCfg(name="isaaclab"), registry) == []


@pytest.mark.parametrize("engine", ["mujoco", "third"])
def test_physics_of_another_engine_is_told(registry, machine, engine):
    machine()
    (doubt,) = check_engine(EngineCfg(name=engine, physics="ovphysx"), registry)
    assert doubt == f"engine.physics=ovphysx has no effect: the engine is {engine}"


def test_a_misspelt_engine(registry):
    with pytest.raises(NotFoundError, match="did you mean 'isaaclab'"):
        check_engine(EngineCfg(name="isaclab"), registry)


def test_the_answer_costs_no_engine():
    code = (
        "import sys\n"
        "from grail_framework.plugins.manager import GrailPluginManager\n"
        "from grail_framework.config import EngineCfg\n"
        "from grail_framework.runs.engine_check import check_engine\n"
        "try: check_engine(EngineCfg(name='isaaclab', physics='ovphysx'), GrailPluginManager().load().registry)\n"
        "except Exception as error: print(type(error).__name__)\n"
        "print([name for name in ('torch', 'mujoco', 'isaaclab', 'newton', 'warp') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize(
    ("wanted", "rank", "device"), [("auto", 0, "cuda:0"), ("auto", 1, "cuda:1"), ("cuda", 1, "cuda:1"), ("cuda:1", 0, "cuda:1")]
)
def test_a_process_takes_the_gpu_of_its_rank(two_gpus, wanted, rank, device):
    assert engine_device(two_gpus(wanted), rank) == device


@pytest.mark.parametrize(("wanted", "rank"), [("auto", 2), ("cuda", 2), ("cuda:2", 0)])
def test_a_process_without_a_gpu_of_its_own(two_gpus, wanted, rank):
    with pytest.raises(ConfigError, match=f"cuda:2 is meant for process {rank} of this machine, and torch sees 2 GPUs"):
        engine_device(two_gpus(wanted), rank)


@pytest.fixture
def two_gpus(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    cfg = motion_tracking()
    return lambda device: attrs.evolve(cfg, engine=EngineCfg(name="isaaclab", device=device))
