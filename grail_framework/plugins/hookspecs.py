"""The hooks a plugin can implement: nothing else is called. An implementation may leave out arguments it does not need.

Registration hooks get a `Registrar` and store import strings (`"package.module:attribute"`), so that listing plugins imports
nothing heavy. Hook bodies here are empty: signature and docstring are the specification.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from grail_framework.plugins.markers import hookspec

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from grail_framework.config import RunCfg
    from grail_framework.motion.clip import ContactLabels, MotionClip
    from grail_framework.motion.faults import ClipFault
    from grail_framework.motion.library import MotionLibrary
    from grail_framework.plugins.context import RunContext
    from grail_framework.plugins.results import CheckpointFormat, HealthCheck, SettledRun, TerrainPlan
    from grail_framework.registry import Registrar

# --- Registration: called once, when plugins are loaded -------------------------------------------------------------------


@hookspec
def grail_register_tasks(registry: Registrar) -> None:
    """Register tasks: functions without arguments that return a `RunCfg`.

    Example:
        registry.add("pnp_table", "grail_hoi.tasks.pnp_table:pnp_table", summary="Pick and place on a table")
    """


@hookspec
def grail_register_robots(registry: Registrar) -> None:
    """Register robots: functions without arguments that return a `RobotSpec`.

    Example:
        registry.add("h2_31dof", "grail_h2.robot:h2_31dof", summary="H2 with 31 joints")
    """


@hookspec
def grail_register_engines(registry: Registrar) -> None:
    """Register engines: functions `(spec: SceneSpec) -> Engine`.

    Example:
        registry.add("genesis", "grail_genesis.engine:build", summary="Genesis on a GPU")
    """


@hookspec
def grail_register_observations(registry: Registrar) -> None:
    """Register observation terms: `(env, **params) -> Tensor` of shape (num_envs, d).

    Example:
        registry.add("object_pos_b", "grail_hoi.mdp.observations:object_pos_b")
    """


@hookspec
def grail_register_rewards(registry: Registrar) -> None:
    """Register reward terms: `(env, **params) -> Tensor` of shape (num_envs,), not negative; the weight carries the sign.

    Example:
        registry.add("grasp", "grail_rewards.mdp.grasp:grasp", summary="Enough links of a hand press the object")
    """


@hookspec
def grail_register_terminations(registry: Registrar) -> None:
    """Register termination terms: `(env, **params) -> Tensor` of shape (num_envs,), bool.

    Example:
        registry.add("object_dropped", "grail_hoi.mdp.terminations:object_dropped")
    """


@hookspec
def grail_register_events(registry: Registrar) -> None:
    """Register event terms: `(env, mask, **params) -> None`, which disturb the environments (num_envs,) of a mask.

    Example:
        registry.add("push_robot", "grail_push.mdp.events:push_robot")
    """


@hookspec
def grail_register_curriculums(registry: Registrar) -> None:
    """Register curriculum terms, which change a quantity of the environment between iterations.

    Example:
        registry.add("raise_threshold", "grail_hoi.mdp.curriculums:raise_threshold")
    """


@hookspec
def grail_register_actions(registry: Registrar) -> None:
    """Register action transforms: what turns the policy's output into joint position targets.

    Example:
        registry.add("joint_delta", "grail_delta.mdp.actions:JointDelta")
    """


@hookspec
def grail_register_networks(registry: Registrar) -> None:
    """Register networks: functions that build the actor-critic module.

    Example:
        registry.add("transformer", "grail_transformer.network:build", summary="Causal transformer")
    """


@hookspec
def grail_register_metrics(registry: Registrar) -> None:
    """Register evaluation metrics, all of which `grail eval` measures.

    A metric is what the decorators `frame_metric` (a value per environment and frame) and `motion_metric` (a value per finished
    motion) of `grail_framework.evaluation.metrics` return.

    Example:
        registry.add("hand_force", "grail_hoi.metrics:hand_force", summary="Mean force on the hand [N]")
    """


@hookspec
def grail_register_motion_readers(registry: Registrar) -> None:
    """Register motion readers, which turn the files of one layout into `MotionClip`s.

    Example:
        registry.add("bvh", "grail_bvh.reader:BvhReader", summary="Biovision hierarchy files")
    """


@hookspec
def grail_register_writers(registry: Registrar) -> None:
    """Register writers of metrics: functions `(run: RunContext) -> writer`.

    Example:
        registry.add("mlflow", "grail_mlflow.writer:build")
    """


@hookspec
def grail_register_cli(registry: Registrar) -> None:
    """Register commands of `grail`: click commands, imported when they are called.

    Example:
        registry.add("retarget", "grail_retarget.command:retarget", summary="Retarget a motion to another robot")
    """


@hookspec
def grail_register_release_aliases(registry: Registrar) -> None:
    """Register tables that map the public release's Hydra paths to fields of `RunCfg`.

    Example:
        registry.add("terrain", "grail_terrain.release_aliases:ALIASES", summary="++CF.terrain_motion_dir and friends")
    """


@hookspec
def grail_register_demo_library(registry: Registrar) -> None:
    """Register, under a task's name, how a small motion library for that task is made.

    Example:
        registry.add("pnp_table", "grail_hoi.demo.library:make_pnp_table", summary="A can lifted from a table")
    """


@hookspec
def grail_register_config_section(registry: Registrar) -> None:
    """Register, under the plugin's name, the attrs class of its section `RunCfg.extra[plugin]`.

    Example:
        registry.add("terrain", "grail_terrain.config:TerrainCfg")
    """


# --- Before the engine starts ---------------------------------------------------------------------------------------------


@hookspec
def grail_configure_run(cfg: RunCfg) -> RunCfg | None:
    """Return a changed configuration, or None to leave it; called before the configuration is saved and the engine starts.

    Every plugin gets what the one before it returned. An exception stops the run and names the plugin.

    Example:
        return attrs.evolve(cfg, num_envs=1024) if cfg.engine.name == "mujoco" else None
    """
    return None


@hookspec
def grail_settle_run(cfg: RunCfg) -> SettledRun | None:
    """Settle what depends on the user's choices and on this machine; None: nothing does.

    Called with the whole configuration, overrides and options included, before it is saved and the engine starts; also where a saved
    configuration is taken up again, so settling what is settled changes nothing. Nothing overrides what it returns: values that a user
    may want otherwise belong into `grail_configure_run`. Every plugin gets what the one before it returned. An exception stops the run
    and names the plugin.

    Example:
        if cfg.action.func == "hand:from_network" and not Path("hand.pt").exists():
            return SettledRun(cfg=with_open_hand(cfg), warnings=("there is no hand.pt, so the hand stays open",))
        return None
    """
    return None


@hookspec(firstresult=True)
def grail_discover_terrain(cfg: RunCfg, rank: int, world_size: int) -> TerrainPlan | None:
    """Plan which motion each environment of this process follows, and on which terrain; None: not a run on terrain.

    Called on every process before the motions are loaded, and where a checkpoint is evaluated, with one process: of the plan all
    motions are followed then. Without a plan environment k follows motion `k mod M` of the one library.

    Example:
        section = cfg.extra.get("terrain")
        return plan(section, cfg.num_envs, rank, world_size) if section else None
    """
    return None


@hookspec
def grail_check_motions(cfg: RunCfg, motions: MotionLibrary) -> Iterable[ClipFault]:
    """Say which of the loaded motions cannot be trained; called on every process, before the engine starts.

    What is fatal stops the run, or the motion is left out, as the user wishes (`--on-bad-clip`); the rest is shown as a warning.
    `grail data check --task` asks too, of the motions in which it found nothing itself, and lists what is returned.

    Example:
        slow = [key for key, length in zip(motions.keys, motions.num_frames.tolist()) if length > 5000]
        return [ClipFault(path=Path(key), key=key, reason="is longer than 100 s") for key in slow]
    """
    return ()


@hookspec(firstresult=True)
def grail_contact_labels(motion: MotionClip, num_frames: int, target_fps: float) -> ContactLabels | None:
    """Say when and where each hand should touch the object in a motion; None: leave it to the next plugin.

    The labels are for the motion as training sees it: `num_frames` frames at `target_fps` [1/s]. Where no plugin knows any, they
    come from the clip's own contact points.

    Example:
        return labels_from_file(motion.path.with_suffix(".contact.json"))
    """
    return None


@hookspec
def grail_checkpoint_formats() -> Iterable[CheckpointFormat]:
    """Return the checkpoint formats the plugin reads or writes.

    Example:
        return [CheckpointFormat(name="safetensors", detect=is_safetensors, read=read_safetensors)]
    """
    return ()


# --- While a run goes on: observers. One that raises is switched off with a warning; the run goes on -----------------------


@hookspec
def grail_run_started(run: RunContext) -> None:
    """Learn that training begins; the run directory and its `config.yaml` exist.

    Example:
        print_link(run.run_dir)
    """


@hookspec
def grail_iteration_finished(run: RunContext, metrics: Mapping[str, float]) -> None:
    """Learn the metrics of an iteration, by name; called on every rank, between two iterations.

    Example:
        if run.rank == 0 and metrics["reward/mean"] > 10:
            notify(run.task)
    """


@hookspec
def grail_checkpoint_saved(run: RunContext, path: Path) -> None:
    """Learn that a checkpoint is whole and on disk; called on rank 0.

    Example:
        upload(path)
    """


@hookspec
def grail_run_failed(run: RunContext, error: BaseException) -> None:
    """Learn that the run ends with an exception or a signal.

    Example:
        notify(f"{run.task} failed: {error}")
    """


@hookspec
def grail_run_finished(run: RunContext, summary: Mapping[str, Any]) -> None:
    """Learn that the run is done, with what its summary table shows.

    Example:
        (run.run_dir / "report.txt").write_text(repr(dict(summary)))
    """


# --- grail doctor ---------------------------------------------------------------------------------------------------------


@hookspec
def grail_health_checks() -> Iterable[HealthCheck]:
    """Return what `grail doctor` shows of the plugin's needs: files, devices, other software.

    Example:
        return [HealthCheck(name="blender", ok=which("blender") is not None, fix="install Blender 4")]
    """
    return ()
