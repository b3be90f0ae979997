"""A wrong width of an observation group is found before an engine is built."""

from __future__ import annotations

import attrs
import pytest
import torch
from click.testing import CliRunner

from grail_framework import hookimpl
from grail_framework.cli.main import build_cli
from grail_framework.config import ObservationGroupCfg, ObservationTermCfg
from grail_framework.config.compose import RunOptions, compose
from grail_framework.errors import EnvContractError
from grail_framework.plugins.manager import GrailPluginManager
from grail_framework.runs.assembly import load_parts
from grail_framework.testing.fakes import write_box_library

WIDTH = 3 + 3 + 2 * 43
"""Turning rate, direction of gravity, and two values of the 43 joints of the G1 with hands."""


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    return write_box_library(tmp_path_factory.mktemp("boxes") / "lib", ("stand__000",))


@pytest.fixture(scope="module")
def manager():
    return GrailPluginManager(autoload=False).load()


def configure(manager, library, width, **terms):
    options = RunOptions(data=str(library), engine="core:mujoco", num_envs=4)
    cfg = compose(manager.registry, task="motion_tracking", options=options).cfg
    observed = {"base_ang_vel": 1, "gravity_dir": 1, "joint_pos": 2} | terms
    group = ObservationGroupCfg(
        terms={name: ObservationTermCfg(func=name, history_length=length) for name, length in observed.items()}, width=width
    )
    robot = attrs.evolve(cfg.robot, name="g1_43dof")
    return attrs.evolve(cfg, robot=robot, observations={**cfg.observations, "policy": group})


@pytest.mark.parametrize("width", [WIDTH, None])
def test_a_right_width_and_none_pass_and_use_no_random_numbers(manager, library, width):
    before = torch.get_rng_state()
    parts = load_parts(configure(manager, library, width), manager)
    assert parts.cfg.observations["policy"].width == width
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("width", [WIDTH - 1, 1000])
def test_a_wrong_width_names_the_terms_and_what_to_write(manager, library, width):
    with pytest.raises(EnvContractError) as caught:
        load_parts(configure(manager, library, width), manager)
    said = str(caught.value)
    assert said.startswith(f"observation group 'policy' is {WIDTH} wide, the task asserts {width}: ")
    assert "base_ang_vel 3, gravity_dir 3, joint_pos 86. " in said
    assert f"observations.policy.width={WIDTH}, or null" in said


def test_a_run_ends_before_its_engine_is_imported(library, tmp_path):
    class Plugin:
        @hookimpl
        def grail_register_engines(self, registry):
            registry.add("costly", "no_such_module:engine", summary="Whose import would be an error of its own")

    manager = GrailPluginManager(autoload=False)
    manager.register(Plugin(), "costly")
    line = [
        "run",
        "--task",
        "motion_tracking",
        "--data",
        str(library),
        "--engine",
        "costly",
        "--num-envs",
        "4",
        "--iterations",
        "1",
    ]
    line += ["--experiment-dir", str(tmp_path / "run")]
    wrong = CliRunner().invoke(build_cli(manager), [*line, "observations.policy.width=7"])
    assert isinstance(wrong.exception, SystemExit)
    assert wrong.exit_code == 1
    assert "wide, the task asserts 7: " in wrong.stderr
    assert "no_such_module" not in wrong.stderr
