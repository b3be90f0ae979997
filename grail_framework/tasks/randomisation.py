"""The release's domain randomisation preset `level0_4`, for tasks that want it: `events=level0_4()`. No built-in task has it on."""

from __future__ import annotations

from grail_framework.config import EventTermCfg


def level0_4() -> dict[str, EventTermCfg]:
    """Return the events: a push every 4 to 6 s, and once at startup material, joint zeros, torso centre of mass and masses.

    The values are the release's, but for the range of the mass scale, which it does not state: 0.9 to 1.1 here.
    """
    return {
        "push_robot": EventTermCfg(
            func="core:push_robot",
            mode="interval",
            interval_range_s=(4.0, 6.0),
            train_only=True,
            params={"linear": (0.5, 0.5, 0.2), "angular": (0.52, 0.52, 0.78)},
        ),
        "physics_material": EventTermCfg(
            func="core:physics_material",
            mode="startup",
            params={
                "static_friction": (0.3, 1.6),
                "dynamic_friction": (0.3, 1.2),
                "restitution": (0.0, 0.5),
                "num_buckets": 64,
            },
        ),
        "joint_default_pos": EventTermCfg(func="core:joint_default_pos", mode="startup", params={"spread": 0.01}),
        "torso_com": EventTermCfg(
            func="core:body_com", mode="startup", params={"bodies": ("torso_link",), "shift": (0.025, 0.05, 0.05)}
        ),
        "body_mass": EventTermCfg(func="core:body_mass", mode="startup", params={"scale": (0.9, 1.1), "bodies": (".*",)}),
    }
