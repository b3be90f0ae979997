"""What a machine offers: GPUs that are visible, the platform, and the engine that follows."""

from __future__ import annotations

import attrs
import pytest

from grail_framework.config import EngineCfg, hardware
from grail_framework.config.compose import RunOptions, compose
from grail_framework.config.hardware import gpu_count, platform_problem, resolve_engine, runs_on_cpu
from grail_framework.errors import ConfigError
from grail_framework.registry import Entry

LISTED = """\
GPU 0: NVIDIA H200 (UUID: GPU-1)
  MIG 1g.18gb     Device  0: (UUID: MIG-2)
GPU 1: NVIDIA H200 (UUID: GPU-3)
"""


@pytest.fixture
def two_gpus(tmp_path, monkeypatch):
    """A machine whose nvidia-smi lists two GPUs."""
    program = tmp_path / "nvidia-smi"
    program.write_text(f"#!/bin/sh\ncat <<'END'\n{LISTED}END\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")


@pytest.mark.parametrize(
    ("visible", "count"), [(None, 2), ("0", 1), ("1,0", 2), ("1,2,0", 1), ("GPU-1,GPU-3", 2), ("", 0), ("-1", 0)]
)
def test_gpus_that_a_process_sees(two_gpus, monkeypatch, visible, count):
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert gpu_count() == count


@pytest.mark.parametrize(
    ("system", "machine", "fits"),
    [("linux", "x86_64", True), ("linux", "aarch64", False), ("darwin", "arm64", False), ("win32", "AMD64", False)],
)
def test_platforms_of_isaaclab(monkeypatch, system, machine, fits):
    monkeypatch.setattr(hardware.sys, "platform", system)
    monkeypatch.setattr(hardware.platform, "machine", lambda: machine)
    monkeypatch.setattr(hardware.platform, "system", lambda: system.capitalize())
    problem = platform_problem("core:isaaclab")
    assert (problem == "") == fits
    assert fits or problem == f"the engine isaaclab runs on Linux x86-64, and this is {system.capitalize()} {machine}"
    assert platform_problem("mujoco") == ""


@pytest.fixture
def with_isaaclab(registry, monkeypatch):
    registry.commit([Entry(kind="engine", name="isaaclab", plugin="core", target="x:y")])
    monkeypatch.setattr(hardware, "is_installed", lambda package: True)
    return registry


def test_isaaclab_elsewhere_than_on_its_platform(with_isaaclab, monkeypatch):
    monkeypatch.setattr(hardware.platform, "machine", lambda: "aarch64")
    with pytest.raises(ConfigError, match=r"isaaclab runs on Linux x86-64, and this is .*: use --engine mujoco"):
        compose(with_isaaclab, task="lift", options=RunOptions(engine="isaaclab"))
    monkeypatch.setattr(hardware, "has_nvidia_gpu", lambda: True)
    composed = compose(with_isaaclab, task="lift")
    assert composed.cfg.engine.name == "mujoco"
    assert "runs on Linux x86-64" in composed.warnings[0]


def test_auto_keeps_to_the_cpu_that_was_asked_for(with_isaaclab, monkeypatch):
    monkeypatch.setattr(hardware, "has_nvidia_gpu", lambda: True)
    assert resolve_engine(with_isaaclab, EngineCfg()) == ("isaaclab", ())
    assert resolve_engine(with_isaaclab, EngineCfg(device="cpu")) == ("mujoco", ())
    assert resolve_engine(with_isaaclab, EngineCfg(name="isaaclab", device="cpu")) == ("isaaclab", ())


@pytest.mark.parametrize(("gpu", "device", "cpu"), [(True, "auto", False), (True, "cpu", True), (False, "auto", True)])
def test_where_isaaclab_runs(with_isaaclab, monkeypatch, gpu, device, cpu):
    monkeypatch.setattr(hardware, "has_nvidia_gpu", lambda: gpu)
    assert runs_on_cpu(EngineCfg(name="isaaclab", device=device)) == cpu
    composed = compose(with_isaaclab, task="lift", options=RunOptions(engine="isaaclab", device=device))
    assert composed.cfg.num_envs == (64 if cpu else 4096)


def test_physics_and_device_are_options(with_isaaclab):
    options = RunOptions(engine="isaaclab", physics="ovphysx", device="cuda:1")
    cfg = compose(with_isaaclab, task="lift", options=options).cfg
    assert (cfg.engine.physics, cfg.engine.device, cfg.engine.cuda_graphs) == ("ovphysx", "cuda:1", True)
    with pytest.raises(ConfigError, match=r"--physics physx.*disagree.*engine.physics"):
        compose(with_isaaclab, task="lift", options=RunOptions(physics="physx"), overrides=["engine.physics=newton"])


def test_another_engine_for_a_saved_configuration_does_not_keep_its_device(with_isaaclab):
    saved = compose(with_isaaclab, task="lift", options=RunOptions(engine="isaaclab", device="cuda:3", num_envs=8)).cfg
    same = compose(with_isaaclab, options=RunOptions(), saved=saved).cfg
    assert same.engine == saved.engine
    other = compose(with_isaaclab, options=RunOptions(engine="mujoco"), saved=saved).cfg
    assert other.engine == attrs.evolve(saved.engine, name="mujoco", device="auto")
    named = compose(with_isaaclab, options=RunOptions(engine="mujoco", device="cpu"), saved=saved).cfg
    assert named.engine.device == "cpu"
