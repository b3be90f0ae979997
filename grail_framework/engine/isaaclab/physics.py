"""Isaac Lab's own configuration of each physics backend, with this project's solver settings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from grail_framework.errors import ConfigError

if TYPE_CHECKING:
    from grail_framework.engine.objects import SceneObjects
    from grail_framework.engine.protocol import SceneSpec

NEWTON: Final = "newton"
_LINE_SEARCH_ITERATIONS: Final = 50
_CONTACTS: Final = 64
"""Contact points per environment, on average over all of them: Newton keeps them in one pool."""
_CONSTRAINTS: Final = 400
"""Constraint rows of one environment: four for each contact point, one for each joint at its limit."""


def physics_cfg(spec: SceneSpec, objects: SceneObjects | None) -> Any:
    """Return Isaac Lab's physics configuration of a scene.

    Raises:
        ConfigError: no such backend.
    """
    if spec.physics == NEWTON:
        return _newton(spec, objects)
    if spec.physics == "ovphysx":
        from isaaclab_ov.physics import OvPhysxCfg

        return OvPhysxCfg()
    if spec.physics == "physx":
        from isaaclab_physx.physics import PhysxCfg

        # The release's buffer sizes.
        return PhysxCfg(gpu_collision_stack_size=2**30, gpu_max_rigid_patch_count=10 * 2**16)
    raise ConfigError(f"engine.physics={spec.physics!r}; allowed: newton, physx, ovphysx")


def _newton(spec: SceneSpec, objects: SceneObjects | None) -> Any:
    from isaaclab_newton.physics import MJWarpSolverCfg, NewtonCfg, NewtonShapeCfg

    extra = 0 if objects is None else 2 * objects.slots
    solver = MJWarpSolverCfg(
        integrator="implicitfast",
        iterations=spec.solver_iterations,
        ls_iterations=_LINE_SEARCH_ITERATIONS,
        njmax=_CONSTRAINTS + 4 * extra,
        nconmax=_CONTACTS + extra,
        disable_sensors=True,
        # One contact point would let a box that lies flat rock on its edges.
        enable_multiccd=True,
    )
    # Contact where surfaces meet, as MuJoCo has it, not 1 cm before.
    return NewtonCfg(solver_cfg=solver, default_shape_cfg=NewtonShapeCfg(gap=0.0, margin=0.0), use_cuda_graph=spec.cuda_graphs)
