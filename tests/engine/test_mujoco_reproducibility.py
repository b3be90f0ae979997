from __future__ import annotations

import attrs
import numpy as np
import pytest
import torch

from grail_framework.engine.mujoco.engine import build, cores_per_process
from grail_framework.engine.protocol import ContactSensorSpec
from grail_framework.errors import CheckpointError, ConfigError, EnvContractError

from .scenes import (
    actions,
    assert_same_bits,
    buffers,
    default_targets,
    everything,
    g1_scene,
    resting,
    slab_scene,
    snapshot,
    start,
)

# ---- reproducibility


def test_any_number_of_threads_gives_the_same_bits(made, boxes):
    results = []
    for threads in (1, 2, 3):
        engine = made(g1_scene(5, boxes, num_threads=threads))
        start(engine)
        for target in actions(engine, 8):
            engine.step(target)
        results.append(snapshot(engine))
    assert_same_bits(results[0], results[1])
    assert_same_bits(results[0], results[2])


@pytest.mark.parametrize(("processes", "threads"), [(None, 6), ("1", 6), ("2", 3), ("4", 1), ("16", 1)])
def test_processes_of_a_launcher_share_the_cores(monkeypatch, processes, threads):
    monkeypatch.setattr("os.sched_getaffinity", lambda _process: set(range(6)))
    monkeypatch.delenv("LOCAL_WORLD_SIZE", raising=False)
    if processes is not None:
        monkeypatch.setenv("LOCAL_WORLD_SIZE", processes)
    assert cores_per_process() == threads


def test_a_resumed_run_goes_on_with_the_same_bits(made, boxes):
    scene = g1_scene(3, boxes, table_size=(1.0, 0.6, 0.04))
    table = torch.tensor([[0.6, 0.0, 0.5]]).repeat(3, 1)
    first = made(scene)
    start(first, table_pos_w=table, object_pos_w=table + torch.tensor([0.0, 0.0, 0.3]))
    targets = actions(first, 12)
    for target in targets[:6]:
        first.step(target)
    saved, seen = first.state_dict(), snapshot(first)
    for target in targets[6:]:
        first.step(target)
    second = made(scene)
    second.load_state_dict(saved)
    assert_same_bits(snapshot(second), seen)
    for target in targets[6:]:
        second.step(target)
    assert_same_bits(snapshot(second), snapshot(first))


def test_a_saved_state_is_a_copy(made, boxes):
    engine = made(g1_scene(1, boxes))
    start(engine)
    saved = engine.state_dict()
    before = saved["physics"].clone()
    engine.step(default_targets(engine))
    assert torch.equal(saved["physics"], before)


def test_a_state_of_another_scene_is_refused(made, boxes):
    engine = made(g1_scene(2, boxes))
    other = made(g1_scene(3, boxes))
    with pytest.raises(CheckpointError, match="same number of environments"):
        engine.load_state_dict(other.state_dict())
    with pytest.raises(CheckpointError, match="keys"):
        engine.load_state_dict({"physics": torch.zeros(1)})
    slab = made(slab_scene(boxes))
    with pytest.raises(CheckpointError, match="other joints"):
        engine.load_state_dict(slab.state_dict())


# ---- what can go wrong


@pytest.mark.parametrize("broken", ["state", "targets", "diverging"])
def test_a_lost_environment_is_seen_and_harms_no_other(made, boxes, tmp_path, monkeypatch, capfd, broken):
    monkeypatch.chdir(tmp_path)
    results = []
    for lose in (False, True):
        engine = made(g1_scene(3, boxes, num_threads=2))
        start(engine)
        targets = actions(engine, 6)
        for step, target in enumerate(targets):
            if lose and step == 2 and broken == "state":
                engine._physics[1, 10] = np.nan
            if lose and step == 2 and broken == "diverging":
                engine._physics[1, engine._layout.joint_vel[3]] = 1e9
            if lose and step == 2 and broken == "targets":
                target[1, 4] = float("nan")
            engine.step(target)
            if lose and step == 2:
                assert not engine.state.joint_pos[1].isfinite().all()
                assert all(value.isfinite().all() for value in engine.state.contact_forces.values())
        results.append(snapshot(engine))
    whole, damaged = results
    assert damaged["root_pos_w"][1].isnan().all()
    for name, value in whole.items():
        assert torch.equal(value[[0, 2]], damaged[name][[0, 2]]), name
    engine.reset(torch.tensor([False, True, False]), resting(engine.spec, 0.745, object_pos_w=torch.ones(3, 3)))
    engine.step(default_targets(engine))
    assert all(value.isfinite().all() for value in buffers(engine).values())
    assert list(tmp_path.iterdir()) == []
    captured = capfd.readouterr()
    assert captured.out == ""
    assert captured.err == ""


def test_mistakes_are_named(boxes):
    scene = g1_scene(2, boxes)
    with pytest.raises(ConfigError, match=r"runs on the CPU, not on 'cuda:0'"):
        build(attrs.evolve(scene, device="cuda:0"))
    with pytest.raises(ConfigError, match="1 entries for 2 environments"):
        build(attrs.evolve(scene, env_object=(0,)))
    with pytest.raises(ConfigError, match="index 7"):
        build(attrs.evolve(scene, env_object=(0, 7)))
    table = {"t": ContactSensorSpec(links=("pelvis",), partner="table")}
    with pytest.raises(ConfigError, match="'t': the scene has no table"):
        build(attrs.evolve(scene, contact_sensors=table))
    wall = {"w": ContactSensorSpec(links=("pelvis",), partner="wall")}
    with pytest.raises(ConfigError, match="no partner 'wall': allowed: any, ground, object, table"):
        build(attrs.evolve(scene, contact_sensors=wall))


def test_wrong_shapes_and_missing_poses_are_named(made, boxes):
    engine = made(g1_scene(2, boxes))
    with pytest.raises(EnvContractError, match=r"shape \(2, 29\); the scene needs \(2, 43\)"):
        engine.step(torch.zeros(2, 29))
    with pytest.raises(EnvContractError, match="gives no object_pos_w"):
        engine.reset(everything(engine.spec), resting(engine.spec, 0.8))


def test_the_buffers_can_take_part_in_a_gradient(made, boxes):
    engine = made(g1_scene(1, boxes))
    start(engine)
    engine.step(default_targets(engine))
    weight = torch.ones(43, requires_grad=True)
    (engine.state.joint_pos * weight).sum().backward()
    torch.testing.assert_close(weight.grad, engine.state.joint_pos[0])


def test_close_twice(boxes):
    engine = build(g1_scene(1, boxes))
    engine.close()
    engine.close()
