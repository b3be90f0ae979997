"""Where the base policy comes from, and what becomes of a task without one."""

import shutil

import attrs
import pytest

from grail_framework.cli.main import build_cli
from grail_framework.config.compose import compose
from grail_framework.config.structure import from_plain, to_plain
from grail_framework.errors import CheckpointError, ConfigError
from grail_framework.plugins.manager import GrailPluginManager
from grail_framework.runs.term_check import check_terms
from grail_framework.testing.bases import write_base
from grail_framework.testing.contracts import assert_import_light

DEFAULT = "models/sonic_manipulation_base"
TASKS = ("pnp_table", "pnp_ground", "advanced_manip_table", "advanced_manip_ground")


@pytest.fixture(scope="module")
def manager():
    return GrailPluginManager().load()


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """An empty folder that runs are started in."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def resolve(manager):
    def run(*overrides, task="pnp_table", **options):
        return compose(manager.registry, task=task, overrides=overrides, settle=manager.settle_run, **options)

    return run


def raw(manager, task):
    return compose(manager.registry, task=task).cfg


@pytest.mark.parametrize("task", TASKS)
def test_without_a_base_a_task_acts_by_joint_residuals(resolve, manager, task):
    composed, before = resolve(task=task), raw(manager, task)
    cfg = composed.cfg
    assert (cfg.action.func, cfg.action.params) == ("core:joint_residual", {"finger_primitive": "discrete"})
    assert list(cfg.observations) == ["policy", "critic"]
    assert all(cfg.observations[name] == before.observations[name] for name in ("policy", "critic"))
    assert before.rewards.keys() - cfg.rewards.keys() == ({"full_latent_rate_l2"} if task == "pnp_table" else set())
    assert cfg.network.params == {
        "actor_hidden_dims": (512, 256, 128),
        "critic_hidden_dims": (512, 256, 128),
        "activation": "silu",
    }
    same = attrs.evolve(
        cfg,
        summary=before.summary,
        action=before.action,
        observations=before.observations,
        rewards=before.rewards,
        network=before.network,
    )
    assert same == before
    check_terms(cfg, manager.registry)
    (line,) = composed.warnings
    assert line.startswith(f"{DEFAULT}/last.pt is not there, so {task} acts by joint_residual, without a base policy")
    assert ("full_latent_rate_l2" in line) is (task == "pnp_table")
    assert "\n" not in line
    for way in ("`grail checkpoints download --only sonic`", "`grail run --task motion_base`", "base_checkpoint="):
        assert way in line
    assert "joint residuals" in cfg.summary


def test_the_default_base_is_used_where_it_is_and_written_down(resolve, manager, here):
    write_base(here / DEFAULT)
    composed, before = resolve(), raw(manager, "pnp_table")
    assert composed.warnings == ()
    params = {**before.action.params, "base_checkpoint": DEFAULT}
    assert composed.cfg == attrs.evolve(before, action=attrs.evolve(before.action, params=params))
    check_terms(composed.cfg, manager.registry)


@pytest.mark.parametrize("given", ["mine", "mine/last.pt", "~/mine"])
def test_a_base_can_be_named(resolve, here, monkeypatch, given):
    monkeypatch.setenv("HOME", str(here))
    write_base(here / DEFAULT)
    write_base(here / "mine", seed=1)
    found = resolve(f"action.params.base_checkpoint='{given}'").cfg.action
    assert found.func == "hoi:latent_residual"
    assert found.params["base_checkpoint"] == given.replace("~", str(here))


@pytest.mark.parametrize("given", ["models/nothing", "''"])
def test_a_named_base_that_is_missing_is_an_error(resolve, here, given):
    write_base(here / DEFAULT)
    with pytest.raises(CheckpointError) as raised:
        resolve(f"action.params.base_checkpoint={given}")
    assert "which is not there, allowed: a *.pt file, a folder with last.pt, a run directory of motion_base" in str(
        raised.value
    )
    assert "grail checkpoints download --only sonic" in str(raised.value)


def test_a_folder_without_a_checkpoint_is_an_error(resolve, here):
    (here / "empty").mkdir()
    with pytest.raises(
        CheckpointError, match=r"action\.params\.base_checkpoint: empty has no last\.pt.*`grail run --task motion_base`"
    ):
        resolve("action.params.base_checkpoint=empty")


def test_a_base_config_that_is_missing_is_an_error(resolve, here):
    write_base(here / DEFAULT)
    with pytest.raises(CheckpointError, match=r"action\.params\.base_config: got 'none\.yaml', which is not there"):
        resolve("action.params.base_config=none.yaml")


@pytest.mark.parametrize(
    ("widths", "says"),
    [
        ({"reads": 650}, "command_multi_future_nonflat 580 + motion_anchor_ori_heading_mf_nonflat 60 = 640"),
        (
            {"proprioception": 900},
            "reads 900 numbers of proprioception beside 64 of its tokens, and the observation group policy_atm",
        ),
    ],
)
def test_a_base_that_does_not_fit_is_an_error_before_the_engine(resolve, here, widths, says):
    write_base(here / DEFAULT, **widths)
    with pytest.raises(CheckpointError) as raised:
        resolve()
    assert says in str(raised.value)
    assert f"{DEFAULT}/last.pt" in str(raised.value)


def test_a_group_that_was_taken_out_is_an_error(resolve, here):
    write_base(here / DEFAULT)
    with pytest.raises(ConfigError, match="observations has no tokenizer, only policy, critic, policy_atm"):
        resolve("~observations.tokenizer")


def test_whoever_chooses_joint_residuals_gets_them_without_a_warning(resolve, here):
    without = resolve().cfg
    write_base(here / DEFAULT)
    chosen = resolve("action.func=core:joint_residual")
    assert chosen.warnings == ()
    assert attrs.evolve(chosen.cfg, summary="") == attrs.evolve(without, summary="")
    assert "as configured" in chosen.cfg.summary


def test_what_a_user_says_of_the_latent_is_not_refused_without_a_base(resolve):
    composed = resolve(
        "action.params.scale=0.2", "rewards.full_latent_rate_l2.weight=-0.02", "network.params.latent_l2_coef=0.2"
    )
    assert composed.cfg == resolve().cfg
    assert len(composed.warnings) == 1


def test_what_is_settled_stays_as_it_is(resolve, manager, here):
    """A run that is continued or evaluated takes up its saved configuration, whatever base there is by then."""
    without = resolve().cfg
    write_base(here / DEFAULT)
    having = resolve().cfg
    for cfg in (without, having):
        saved = from_plain(type(cfg), to_plain(cfg))
        again = compose(manager.registry, saved=saved, settle=manager.settle_run)
        assert (again.cfg, again.warnings) == (saved, ())
    shutil.rmtree(here / DEFAULT)
    with pytest.raises(CheckpointError, match=f"got '{DEFAULT}', which is not there"):
        compose(manager.registry, saved=having, settle=manager.settle_run)


@pytest.mark.parametrize("task", ["motion_tracking", "motion_base"])
def test_tasks_without_a_base_are_left_alone(resolve, manager, task):
    composed = resolve(task=task)
    assert (composed.cfg, composed.warnings) == (raw(manager, task), ())


def test_the_command_line_says_it_in_one_line(manager):
    from click.testing import CliRunner

    arguments = ["run", "--task", "pnp_table", "--engine", "mujoco", "--num-envs", "4", "--dry-run"]
    result = CliRunner().invoke(build_cli(manager), arguments)
    assert result.exit_code == 0, result.output
    said = [line for line in result.stderr.splitlines() if "base" in line]
    assert len(said) == 1
    assert said[0].startswith(f"warning: {DEFAULT}/last.pt is not there")
    named = CliRunner().invoke(build_cli(manager), [*arguments, "action.params.base_checkpoint=nowhere"])
    assert named.exit_code == 2
    assert "action.params.base_checkpoint: got 'nowhere', which is not there" in named.stderr


@pytest.mark.parametrize("task", TASKS)
def test_a_robot_without_hands_is_refused_by_a_dry_run(manager, task):
    from click.testing import CliRunner

    line = ["run", "--task", task, "--engine", "mujoco", "--num-envs", "4", "--dry-run"]
    result = CliRunner().invoke(build_cli(manager), [*line, "robot.name=g1_29dof"])
    assert (result.exit_code, result.stdout) == (2, "")
    assert "robot.name: got 'g1_29dof', which has no hands" in result.stderr
    assert f"scene.contact_sensors.object_right_hand of task 'hoi:{task}'" in result.stderr
    assert "Registered robots with hands: g1_43dof. Write robot.name=g1_43dof" in result.stderr
    assert CliRunner().invoke(build_cli(manager), [*line, "robot.name=g1_43dof"]).exit_code == 0


@pytest.mark.parametrize("module", ["grail_hoi.plugin", "grail_hoi.configure"])
def test_looking_for_a_base_loads_nothing_heavy(module):
    assert_import_light(module)
