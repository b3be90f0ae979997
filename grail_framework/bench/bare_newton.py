"""Bare MuJoCo Warp, the solver of Newton: a scene's model on the device and its first step; a process of its own.

`python -m grail_framework.bench.bare_newton MODEL.mjb --num-envs N --device cuda:0 --steps 4` is what `grail bench startup` compares a run
on the engine `isaaclab` to: import, model, data, capture of one control step as a CUDA graph, one replay. It says on stderr what it does,
as `grail run` does.
"""

from __future__ import annotations

import argparse
import sys
import time
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from grail_framework.engine.protocol import SceneSpec


CONTACTS: Final = 128
CONSTRAINTS: Final = 512
"""Room per world for contacts and constraint rows: robot, table and object begin where the model has them, in each other."""


def write_scene(spec: SceneSpec, path: Path) -> Path:
    """Write the compiled MuJoCo model of one environment of a scene, without sensors.

    Raises:
        AssetError: an object that cannot be simulated.
    """
    import attrs
    import mujoco as _mujoco

    from grail_framework.engine.mujoco.model import build_models

    mujoco: Any = _mujoco  # its extension modules carry no types
    model = build_models(attrs.evolve(spec, contact_sensors={})).largest
    # MuJoCo Warp never resets a world that diverges, and refuses the flag that says so.
    model.opt.disableflags &= ~mujoco.mjtDisableBit.mjDSBL_AUTORESET.value
    mujoco.mj_saveModel(model, str(path))
    return path


def first_step(model: Path, *, num_envs: int, device: str, steps: int, tell: Callable[[str], None]) -> Any:
    """Put a model on a device, take one control step of so many physics steps in every world, and wait for it.

    Args:
        model: what `write_scene` wrote.
        num_envs: number of worlds.
        device: Warp's name of the device; on `cpu` there is no graph.
        steps: physics steps in the control step.
        tell: told in words what is done next.

    Returns:
        MuJoCo Warp's data after the step.
    """
    tell("loading MuJoCo Warp")
    import mujoco as _mujoco
    import mujoco_warp as mjw
    import warp as wp

    mujoco: Any = _mujoco
    tell("building the model")
    described = mujoco.MjModel.from_binary_path(str(model))
    with wp.ScopedDevice(device):
        on_device = mjw.put_model(described)
        data = mjw.make_data(described, nworld=num_envs, nconmax=CONTACTS, njmax=CONSTRAINTS)
        tell("the first step")
        if wp.get_device(device).is_cuda:
            mjw.step(on_device, data)  # loads or compiles what a capture may not
            with wp.ScopedCapture() as capture:
                for _ in range(steps):
                    mjw.step(on_device, data)
            assert capture.graph is not None
            wp.capture_launch(capture.graph)
        else:
            for _ in range(steps):
                mjw.step(on_device, data)
        wp.synchronize()
    return data


def main() -> None:
    """Do it once, as the command line says."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model")
    parser.add_argument("--num-envs", type=int, required=True)
    parser.add_argument("--device", required=True)
    parser.add_argument("--steps", type=int, required=True)
    arguments = parser.parse_args()
    began = time.perf_counter()

    def tell(what: str) -> None:
        print(f"[{time.perf_counter() - began:5.1f} s] {what}", file=sys.stderr, flush=True)

    first_step(arguments.model, num_envs=arguments.num_envs, device=arguments.device, steps=arguments.steps, tell=tell)


if __name__ == "__main__":
    main()
