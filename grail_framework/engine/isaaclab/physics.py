"""Isaac Lab's own configuration of each physics backend, with this project's solver settings."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

from grail_framework.config.distributions import PHYSICS, describe, install_line, physics_mismatches
from grail_framework.errors import ConfigError

if TYPE_CHECKING:
    from grail_framework.engine.objects import SceneObjects
    from grail_framework.engine.protocol import SceneSpec

NEWTON: Final = "newton"
_LINE_SEARCH_ITERATIONS: Final = 50
_CONTACTS: Final = 64
"""Contact points per environment, on average over all of them: Newton keeps them in one pool, and pairs of shapes that may touch in
another as large. A G1 that stands on stairs has 12 of both, one that has fallen there 25."""
_CONSTRAINTS: Final = 400
"""Constraint rows of one environment: four for each contact point, one for each joint at its limit."""
_PHYSX_BUFFERS: Final[dict[str, Any]] = {
    "gpu_collision_stack_size": 2**30,
    "gpu_max_rigid_patch_count": 10 * 2**16,
    "gpu_found_lost_pairs_capacity": 2**24,
}
"""Sizes of PhysX's buffers on a GPU, those of the GRAIL release: [bytes], then counts."""


def check_backend(physics: str) -> None:
    """Demand the packages of a physics backend, before anything is imported or read.

    Raises:
        ConfigError: no such backend, or its packages are missing or of another version.
    """
    if physics not in PHYSICS:
        raise ConfigError(f"engine.physics={physics!r}; allowed: {', '.join(PHYSICS)}")
    mismatches = physics_mismatches(physics)
    if mismatches:
        raise ConfigError(
            f"engine.physics={physics!r}, and {describe(mismatches)}. Mend it with {install_line(mismatches)}, or use --physics newton"
        )


def physics_cfg(spec: SceneSpec, objects: SceneObjects | None) -> Any:
    """Return Isaac Lab's physics configuration of a scene whose backend was checked."""
    if spec.physics == NEWTON:
        return _newton(spec, objects)
    if spec.physics == "ovphysx":
        from isaaclab_ov.physics import OvPhysxCfg

        return OvPhysxCfg(**_PHYSX_BUFFERS)
    from isaaclab_physx.physics import PhysxCfg

    return PhysxCfg(**_PHYSX_BUFFERS)


def capacity(objects: SceneObjects | None, *, dynamic: bool, room: float) -> tuple[int, int]:
    """Return for how many contact points, on average, and for how many constraint rows an environment has room with Newton.

    Args:
        objects: what the environments hold; None: nothing.
        dynamic: whether it moves.
        room: factor on both.
    """
    # The pieces of a dynamic object may all lie on something; those of a kinematic one touch nothing but the robot.
    extra = 2 * objects.slots if objects is not None and dynamic else 0
    return math.ceil(room * (_CONTACTS + extra)), math.ceil(room * (_CONSTRAINTS + 4 * extra))


def _newton(spec: SceneSpec, objects: SceneObjects | None) -> Any:
    from isaaclab_newton.physics import MJWarpSolverCfg, NewtonCfg, NewtonShapeCfg

    contacts, constraints = capacity(objects, dynamic=spec.object_dynamic, room=spec.contact_room)
    solver = MJWarpSolverCfg(
        integrator="implicitfast",
        iterations=spec.solver_iterations,
        ls_iterations=_LINE_SEARCH_ITERATIONS,
        njmax=constraints,
        nconmax=contacts,
        disable_sensors=True,
        # Newton's own step is the first and the last of a control step: its state is copied to MuJoCo's with the first.
        update_data_interval=min(spec.decimation, 2),
        # One contact point would let a box that lies flat rock on its edges.
        enable_multiccd=True,
    )
    # Contact where surfaces meet, as MuJoCo has it, not 1 cm before.
    return NewtonCfg(solver_cfg=solver, default_shape_cfg=NewtonShapeCfg(gap=0.0, margin=0.0), use_cuda_graph=False)
