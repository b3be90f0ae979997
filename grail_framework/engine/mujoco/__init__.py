"""The CPU engine: MuJoCo's C library, many environments per call through `mujoco.rollout`."""
