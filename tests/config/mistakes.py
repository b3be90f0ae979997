"""Mistakes users make on the command line of `grail run`, and what the answer has to contain.

`{lib}` is a whole motion library, `{tmp}` the folder it is in. Every line begins from a command that is right.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import NamedTuple

from grail_framework.config.distributions import installed_version


class Mistake(NamedTuple):
    what: str
    argv: tuple[str, ...]
    fragments: tuple[str, ...]
    exit_code: int = 2


TASK = ("--task", "lift")
GOOD = (*TASK, "--data", "{lib}")
ML = "++manager_env.commands.motion.motion_lib_cfg"
CF = "++manager_env.config"
EXP = "+exp=manager/universal_token/hoi/lift"


def _m(what: str, argv: tuple[str, ...], *fragments: str, exit_code: int = 2) -> Mistake:
    return Mistake(what, argv, fragments, exit_code)


NAMES = (
    _m("no task", ("--data", "{lib}"), "--task NAME", "lift", "+exp="),
    _m("misspelt task", ("--task", "lfit", "--data", "{lib}"), "no task 'lfit'", "did you mean 'lift'"),
    _m("task of an unknown plugin", ("--task", "exmple:lift"), "exmple:lift", "did you mean 'example:lift'"),
    _m("task as an override", (*GOOD, "task=walk"), "task=walk", "--task walk"),
    _m("task whose function raises", ("--task", "broken_task"), "broken_task", "no such robot", "plugins show", exit_code=3),
    _m("task that is no RunCfg", ("--task", "wrong_task"), "wrong_task", "dict", "allowed: RunCfg", exit_code=3),
    _m("misspelt engine", (*GOOD, "--engine", "mujco"), "no engine 'mujco'", "did you mean 'mujoco'"),
    _m("misspelt robot", (*GOOD, "robot.name=g1_43dofs"), "no robot 'g1_43dofs'", "did you mean 'g1_43dof'"),
    _m("misspelt network", (*GOOD, "network.func=mpl"), "network.func", "'mpl'", "did you mean 'mlp'"),
    _m("misspelt writer", (*GOOD, "logging.writers=[tensorbord]"), "no writer 'tensorbord'", "tensorboard"),
    _m("misspelt option", (*GOOD, "--num-env", "8"), "--num-env", "--num-envs"),
    _m(
        "reward function that nobody has",
        (*GOOD, "rewards.grasp_right.func=grsp"),
        "rewards.grasp_right.func",
        "did you mean 'grasp'",
    ),
)

KEYS = (
    _m("misspelt field", (*GOOD, "algorithm.gama=0.9"), "algorithm.gama", "did you mean 'algorithm.gamma'"),
    _m("misspelt section", (*GOOD, "algoritm.gamma=0.9"), "'algoritm'", "did you mean 'algorithm'"),
    _m("field without its section", (*GOOD, "learning_rate=1e-4"), "'learning_rate'", "'algorithm.learning_rate'"),
    _m("misspelt term", (*GOOD, "rewards.grasp_rihgt.weight=20"), "rewards.grasp_rihgt", "did you mean 'rewards.grasp_right'"),
    _m("unknown term without plus", (*GOOD, "rewards.bonus.weight=1"), "rewards.bonus", "+rewards.bonus.func=..."),
    _m("removing a term that is not there", (*GOOD, "~rewards.grsap_right"), "rewards.grsap_right", "did you mean"),
    _m(
        "null on a misspelt term", (*GOOD, "terminations.anchor_po=null"), "terminations.anchor_po", "'terminations.anchor_pos'"
    ),
    _m("removing a setting", (*GOOD, "~algorithm.gamma"), "algorithm.gamma", "cannot be removed", "algorithm.gamma=..."),
    _m(
        "using a removed term",
        (*GOOD, "~rewards.grasp_right", "rewards.grasp_right.weight=1"),
        "was removed by '~rewards.grasp_right'",
    ),
    _m("adding a term that exists", (*GOOD, "+rewards.grasp_right={func: grasp}"), "exists already", "++rewards.grasp_right"),
    _m(
        "new term without weight",
        (*GOOD, "+rewards.bonus.func=grasp"),
        "rewards.bonus",
        "lacks weight",
        "+rewards.bonus.weight=...",
    ),
    _m("new term by accident", (*GOOD, "++rewards.grasp_rigth.weight=1"), "lacks func", "'rewards.grasp_right'"),
    _m(
        "key below a number",
        (*GOOD, "rewards.grasp_right.weight.x=1"),
        "is a number",
        "Set it whole: rewards.grasp_right.weight=",
    ),
    _m("a setting taken for a group", (*GOOD, "checkpoint.last_frequency=9"), "checkpoint is", "'checkpoints.last_frequency'?"),
    _m("key below null", (*GOOD, "scene.table.size=[1,1,1]"), "scene.table is null", "+scene.table.size=..."),
    _m("gate without its hand", (*GOOD, "+rewards.grasp_left.gate.missing=ones"), "rewards.grasp_left.gate", "hand"),
    _m("section of another plugin", (*GOOD, "extra.terrain.dir=x"), "no plugin section 'terrain'"),
    _m("misspelt key of a section", (*GOOD, "extra.example.margn=1"), "extra.example.margn", "'extra.example.margin'"),
    _m(
        "misspelt parameter",
        (*GOOD, "rewards.grasp_right.params.min_contcts=2"),
        "params.min_contcts",
        "did you mean 'min_contacts'",
    ),
    _m(
        "parameter of a term without any",
        (*GOOD, "observations.policy.terms.joint_pos.params.x=1"),
        "params.x",
        "it takes none",
    ),
    _m(
        "missing parameter",
        (*GOOD, "~rewards.grasp_right.params.sensor"),
        "needs sensor",
        "+rewards.grasp_right.params.sensor=...",
    ),
    _m(
        "misspelt sensor", (*GOOD, "rewards.grasp_right.params.sensor=rigth_hand"), "params.sensor", "did you mean 'right_hand'"
    ),
)

VALUES = (
    _m(
        "word for a number",
        (*GOOD, "rewards.grasp_right.weight=heavy"),
        "rewards.grasp_right.weight",
        "'heavy'",
        "a number",
        "[1/s]",
    ),
    _m("quoted number", (*GOOD, "algorithm.gamma='0.9'"), "algorithm.gamma", "Write 0.9 without quotes"),
    _m("truth value for a number", (*GOOD, "algorithm.gamma=true"), "algorithm.gamma", "True (bool)", "a number"),
    _m("number for a truth value", (*GOOD, "safe_nan=1"), "safe_nan", "1 (int)", "true or false"),
    _m("float for an integer", (*GOOD, "iterations=1e4"), "iterations", "10000.0 (float)", "Write 10000"),
    _m("null for a number", (*GOOD, "num_envs=null"), "num_envs", "null", "an integer"),
    _m("single value for a list", (*GOOD, "motion.filter_motion_keys=box"), "motion.filter_motion_keys", "Write a list: [box]"),
    _m("number in a list of names", (*GOOD, "motion.filter_motion_keys=[1]"), "motion.filter_motion_keys[0]", "in quotes, '1'"),
    _m(
        "list of the wrong length",
        (*GOOD, "+scene.table.size=[1,1]"),
        "scene.table.size",
        "2 numbers",
        "exactly 3 numbers",
        "[m]",
    ),
    _m("word in a list of numbers", (*GOOD, "+scene.table.size=[1,1,x]"), "scene.table.size[2]", "'x' (str)", "a number"),
    _m("number for a section", (*GOOD, "scene.object=3"), "scene.object", "ObjectCfg"),
    _m("above the range", (*GOOD, "algorithm.gamma=1.5"), "algorithm.gamma", "1.5", "[0.0, 1.0]", "'algorithm.gamma=1.5'"),
    _m("below the range", (*GOOD, "scene.object.mass=-1"), "scene.object.mass", "-1.0", "> 0", "[kg]"),
    _m("not finite", (*GOOD, "rewards.grasp_right.weight=inf"), "rewards.grasp_right.weight", "inf", "a finite number"),
    _m("not one of the choices", (*GOOD, "algorithm.schedule=linear"), "algorithm.schedule", "'linear'", "'adaptive', 'fixed'"),
    _m("device that is none", (*GOOD, "engine.device=gpu"), "engine.device", "'gpu'", "auto, cpu, cuda or cuda:N"),
    _m("device without a GPU", (*GOOD, "engine.device=cuda"), "engine.device", "'cuda'", "auto, cpu"),
    _m(
        "device option without a GPU",
        (*GOOD, "--device", "cuda:1"),
        "engine.device",
        "'cuda:1'",
        "no NVIDIA GPU",
        "--device cpu",
    ),
    _m("device option that is none", (*GOOD, "--device", "gpu"), "engine.device", "'gpu'", "'--device gpu'", "cuda:N"),
    _m("physics that is none", (*GOOD, "--physics", "newtn"), "--physics", "newtn", "newton", "ovphysx"),
    _m(
        "physics without its package",
        (*GOOD, "--engine", "isaaclab", "--physics", "ovphysx"),
        *(("ovphysx", "pip install", "--physics newton") if installed_version("isaaclab") else ("isaaclab", "--engine mujoco")),
    ),
    _m("option out of range", (*GOOD, "--num-envs", "0"), "--num-envs", "0", "x>=1"),
    _m("option of the wrong type", (*GOOD, "--iterations", "many"), "--iterations", "many", "integer"),
    _m("option of the wrong choice", (*GOOD, "--on-bad-clip", "ignore"), "--on-bad-clip", "ignore", "stop", "skip"),
    _m(
        "parameter of the wrong type",
        (*GOOD, "rewards.grasp_right.params.min_contacts=2.5"),
        "params.min_contacts",
        "2.5",
        "an integer",
    ),
    _m("parameter of the wrong choice", (*GOOD, "rewards.grasp_right.params.mode=all"), "params.mode", "'all'", "'sum', 'any'"),
    _m(
        "section value of the wrong type",
        (*GOOD, "extra.example.margin=far"),
        "extra.example.margin",
        "'far'",
        "a number",
        "[m]",
    ),
)

GRAMMAR = (
    _m("no equals sign", (*GOOD, "num_envs"), "'num_envs'", "num_envs=VALUE"),
    _m("spaces around the equals sign", (*GOOD, "num_envs", "=", "4"), "no '='"),
    _m("sweep", (*GOOD, "num_envs=4,8"), "sweep", "num_envs=[4,8]"),
    _m("home directory", (*TASK, "motion.data=~/lib"), "motion.data=~/lib", "^", "\"motion.data='~/lib'\""),
    _m("expression without quotes", (*GOOD, "motion.filter_motion_keys=[^box$]"), "[^box$]", "['^box\\$']"),
    _m("bracket left open", (*GOOD, "motion.filter_motion_keys=[a,"), "not closed", "quotes"),
    _m("item of a list", (*GOOD, "scene.table.size[0]=1"), "scene.table.size=[...]"),
    _m("interpolation", (*GOOD, "motion.data=${DATA}"), "${DATA}", "shell"),
    _m("package", (*GOOD, "optim@algorithm=x"), "optim@algorithm", "a.b.c=value"),
)

DATA = (
    _m("no data and no demo library", TASK, "no demo library", "--data DIR"),
    _m("folder that does not exist", (*TASK, "--data", "{tmp}/bx_ha"), "{tmp}/bx_ha", "did you mean {lib}"),
    _m("the robot folder", (*TASK, "--data", "{lib}/robot"), "a part of a motion library", "--data {lib}"),
    _m("the folder above", (*TASK, "--data", "{tmp}"), "has no folder robot/", "--data {lib}"),
    _m("a file", (*TASK, "--data", "{lib}/object_usd/box__carry__000.usd"), "is a file", "Did you mean {lib}"),
    _m("an empty folder", (*TASK, "--data", "{tmp}/empty"), "{tmp}/empty is empty", "robot/*.pkl"),
    _m("the twin without hand actions", (*TASK, "--data", "{tmp}/box"), "has no folder robot/", "{lib}"),
    _m("an empty shell variable", (*TASK, "--data", ""), "--data", "empty path", "shell variable"),
    _m("a variable in single quotes", (*TASK, "--data", "$DATA/box_ha"), "'$DATA/box_ha'", "single quotes"),
    _m("no motions in robot/", (*TASK, "--data", "{tmp}/hollow"), "holds no motions", "notes.txt"),
    _m("no objects", (*TASK, "--data", "{tmp}/robot_only"), "motion.object_dir", "{tmp}/robot_only/objects does not exist"),
    _m("no meta files", ("--task", "lift_from_table", "--data", "{tmp}/no_meta"), "motion.meta_dir", "does not exist"),
    _m("basis point sets that are not there", (*GOOD, "--bps", "{lib}/bsp"), "--bps", "did you mean {lib}/bps"),
    _m("one basis point file", (*GOOD, "--bps", "{lib}/bps/cup__lift__000.npy"), "--bps", "is a file", "{lib}/bps"),
    _m("a link that leads nowhere", (*TASK, "--data", "{tmp}/dangling"), "object_usd", "link", "does not exist"),
    _m(
        "a motion that is not there",
        (*GOOD, "motion.filter_motion_keys=[box__cary__000]"),
        "box__cary__000",
        "'box__carry__000'",
    ),
    _m("a bad expression", (*GOOD, "motion.filter_motion_keys=['(box']"), "'(box'", "no regular expression"),
    _m("all motions removed", (*GOOD, "motion.remove_motion_keys=[box,cup]"), "removes all 3 motions"),
    _m("more shards than motions", (*GOOD, "motion.shard_world_size=8"), "motion.shard_world_size", "8", "1 to 3"),
    _m("curriculum", (*GOOD, "+curriculums.harder.func=core:reward_weigth"), "curriculums.harder.func", "'core:reward_weight'"),
    _m("event", (*GOOD, "+events.p.func=core:push_robot", "+events.p.mode=interval"), "events.p", "interval_range_s=[4.0,6.0]"),
)

START = (
    _m(
        "checkpoint that does not exist",
        (*GOOD, "--checkpoint", "{tmp}/run/lst.pt"),
        "--checkpoint",
        "did you mean {tmp}/run/last.pt",
    ),
    _m("checkpoint that is none", (*GOOD, "--checkpoint", "{tmp}/run/config.yaml"), "config.yaml", "*.pt"),
    _m("folder without checkpoints", (*GOOD, "--checkpoint", "{lib}"), "{lib} holds no checkpoint", "last.pt"),
    _m("folder without last.pt", (*GOOD, "--checkpoint", "{tmp}/steps"), "has no last.pt", "model_step_000050.pt"),
    _m("empty checkpoint", (*GOOD, "--checkpoint", "{tmp}/steps/model_step_000050.pt"), "is empty"),
    _m("resume of nothing", (*GOOD, "--resume"), "--resume", "--experiment-dir RUN", "--checkpoint FILE"),
    _m("resume in a folder that is not there", (*GOOD, "--resume", "--experiment-dir", "{tmp}/rum"), "did you mean {tmp}/run"),
    _m("a run is there already", (*GOOD, "--experiment-dir", "{tmp}/run"), "already holds a run", "--resume"),
    _m("a run that ended at once", (*GOOD, "--experiment-dir", "{tmp}/ended"), "before its first checkpoint", "Remove it"),
    _m("its resume", (*GOOD, "--resume", "--experiment-dir", "{tmp}/ended"), "holds no checkpoint", "without --resume"),
    _m("run directory is a file", (*GOOD, "--experiment-dir", "{tmp}/box.blend"), "is a file", "a folder"),
    _m("run directory below a file", (*GOOD, "--experiment-dir", "{tmp}/box.blend/run"), "{tmp}/box.blend is a file"),
    _m(
        "too few iterations for a resume",
        (*GOOD, "--resume", "--experiment-dir", "{tmp}/run", "--iterations", "50"),
        "50",
        "the total",
    ),
)

COMBINATIONS = (
    _m("indivisible environments", (*GOOD, "--num-envs", "6"), "num_envs", "6", "algorithm.num_mini_batches=4", "num_envs=4"),
    _m("option and override disagree", (*GOOD, "--num-envs", "8", "num_envs=4"), "'--num-envs 8'", "'num_envs=4'", "disagree"),
    _m(
        "option and alias disagree",
        (*GOOD, "--iterations", "5", "++algo.config.num_learning_iterations=3"),
        "--iterations 5",
        "disagree",
    ),
    _m("data and alias disagree", (*GOOD, f"{ML}.motion_file={{tmp}}/other/robot"), "--data {lib}", "motion_file", "disagree"),
    _m("task and experiment disagree", ("--task", "walk", EXP), "--task walk", EXP, "two tasks"),
    _m("no policy observations", (*GOOD, "~observations.policy"), "policy", "critic", "missing"),
    _m("group without terms", (*GOOD, "~observations.critic.terms.joint_pos"), "observations.critic", "has no terms"),
    _m("no rewards", ("--task", "walk", "--data", "{lib}", "~rewards.tracking_anchor_pos"), "rewards", "nothing to learn"),
    _m(
        "gate without object", (*GOOD, "scene.object=null", "~scene.contact_sensors.right_hand"), "gate", "scene.object is null"
    ),
    _m(
        "sensor of an absent table", (*GOOD, "scene.contact_sensors.right_hand.partner=table"), "partner", "scene.table is null"
    ),
    _m(
        "contact start without object",
        ("--task", "walk", "command.sample_before_contact=true"),
        "sample_before_contact",
        "=false",
    ),
    _m("noise bounds swapped", (*GOOD, "observations.policy.terms.joint_pos.noise.low=1"), "noise", "low=1.0", "Swap"),
    _m(
        "learning rate outside its bounds",
        (*GOOD, "algorithm.learning_rate=0.1"),
        "algorithm.learning_rate",
        "max_learning_rate=0.0002",
    ),
    _m("noise outside its bounds", (*GOOD, "algorithm.init_noise_std=1.0"), "algorithm.init_noise_std", "max_noise_std=0.5"),
    _m(
        "interval without times",
        (*GOOD, "+events.push={func: push, mode: interval}"),
        "events.push",
        "interval_range_s=[4.0,6.0]",
    ),
    _m(
        "interval upside down",
        (*GOOD, "+events.push={func: push, mode: interval, interval_range_s: [6,4]}"),
        "[6.0, 4.0]",
        "Swap",
    ),
    _m("shard rank too high", (*GOOD, "motion.shard_rank=2", "motion.shard_world_size=2"), "motion.shard_rank", "0 to 1"),
    _m("shard rank alone", (*GOOD, "motion.shard_rank=0"), "motion.shard_rank", "motion.shard_world_size"),
    _m("bad link expression", (*GOOD, "scene.contact_sensors.right_hand.links=['(']"), "links", "no regular expression"),
)

RELEASE = (
    _m(
        "unknown experiment",
        (EXP + "ed", "--data", "{lib}"),
        "unknown experiment",
        "did you mean 'manager/universal_token/hoi/lift'",
    ),
    _m("misspelt release path", (*GOOD, f"{ML}.motion_fle=x"), "motion_fle", "motion_lib_cfg.motion_file"),
    _m("misspelt release root", (*GOOD, "headles=True"), "headles", "did you mean 'headless'"),
    _m(
        "misspelt term in a release path",
        (*GOOD, "++manager_env.rewards.grasp_rigt.weight=3"),
        "did you mean 'rewards.grasp_right'",
    ),
    _m("unknown release termination", (*GOOD, "++manager_env.terminations.anchr_pos=null"), "'terminations.anchor_pos'"),
    _m(
        "unknown observation group",
        (*GOOD, "++manager_env.observations.polcy.enable_corruption=false"),
        "'observations.policy'",
    ),
    _m("release option group", (*GOOD, "+opt=tensorboard"), "+opt=tensorboard", "allowed: wandb"),
    _m("evaluation script", (*GOOD, "++eval_callbacks=im_eval"), "evaluation script", "Leave it out"),
    _m(
        "gate that is no truth value",
        (*GOOD, "++manager_env.rewards.grasp_right.params.gate_with_contact_label=2"),
        "true or false",
    ),
    _m(
        "factor without gate",
        (*GOOD, "++manager_env.rewards.grasp_left.params.anti_contact_factor=-1"),
        "requires gate_with_contact_label=True",
        "gate.hand=",
    ),
    _m(
        "release value of the wrong type",
        (*GOOD, "++algo.config.num_learning_iterations=many"),
        "iterations",
        "'many'",
        "an integer",
    ),
    _m("alias of a broken plugin", (*GOOD, f"{CF}.example_broken=1"), "example_broken", "KeyError", exit_code=3),
)

CORPUS = (*NAMES, *KEYS, *VALUES, *GRAMMAR, *DATA, *START, *COMBINATIONS, *RELEASE)


def lay_out(tmp: Path) -> dict[str, str]:
    """Make the folders that the corpus is about."""
    from config_example import make_library

    library = make_library(tmp / "box_ha")
    (tmp / "empty").mkdir()
    (tmp / "box" / "bps").mkdir(parents=True)
    (tmp / "hollow" / "robot").mkdir(parents=True)
    (tmp / "hollow" / "robot" / "notes.txt").touch()
    for name, missing in (("robot_only", "objects"), ("no_meta", "meta"), ("dangling", "object_usd")):
        make_library(tmp / name)
        for file in (tmp / name / missing).iterdir():
            file.unlink()
        (tmp / name / missing).rmdir()
    (tmp / "dangling" / "object_usd").symlink_to("../gone/object_usd")
    (tmp / "box.blend").touch()
    run = tmp / "run"
    run.mkdir()
    (run / "config.yaml").write_text("task: x\n")
    (run / "model_step_000050.pt").write_bytes(b"x")
    (run / "last.pt").symlink_to("model_step_000050.pt")
    (tmp / "ended").mkdir()
    (tmp / "ended" / "config.yaml").write_text("task: x\n")
    (tmp / "steps").mkdir()
    (tmp / "steps" / "model_step_000050.pt").touch()
    return {"lib": str(library), "tmp": str(tmp)}


def fill(text: str, places: dict[str, str]) -> str:
    for name, value in places.items():
        text = text.replace("{" + name + "}", value)
    return text


def make_cli():
    """The real command line, with the core and the example plugin only."""
    from config_example import ExamplePlugin

    from grail_framework.cli.main import build_cli
    from grail_framework.plugins.manager import GrailPluginManager

    manager = GrailPluginManager(autoload=False)
    manager.register(ExamplePlugin(), "example")
    return build_cli(manager)


def answer(mistake: Mistake, places: dict[str, str]):
    """Run the command line of a mistake as far as it goes."""
    from click.testing import CliRunner

    argv = ["run", "--dry-run", *(fill(argument, places) for argument in mistake.argv)]
    with contextlib.chdir(places["tmp"]):
        return CliRunner().invoke(make_cli(), argv)


def heavy_modules_after(tmp: str) -> list[str]:
    """Run the whole corpus and name the engines that were imported on the way."""
    import sys

    os.environ["CUDA_VISIBLE_DEVICES"] = ""
    places = lay_out(Path(tmp))
    for mistake in CORPUS:
        answer(mistake, places)
    return [name for name in ("mujoco", "isaaclab", "newton", "warp") if name in sys.modules]
