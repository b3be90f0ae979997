"""The kernel that turns the solver's contacts into forces on links.

Written in the subset of Python that Warp compiles, whose types a type checker does not know.
"""

# pyright: reportIndexIssue=false, reportOperatorIssue=false, reportArgumentType=false, reportInvalidTypeForm=false, reportReturnType=false

from __future__ import annotations

import warp as wp

wp.set_module_options({"enable_backward": False})  # a force read needs no adjoint, and it doubles what is compiled

vec5 = wp.types.vector(length=5, dtype=wp.float32)


@wp.func
def _force_of_row(rows: wp.array[wp.int32], row_force: wp.array[wp.float32], index: int) -> float:
    """Return the force of one constraint row of a contact; a row that did not fit the solver's buffer has none."""
    if rows[index] < 0:
        return 0.0
    return row_force[rows[index]]


@wp.func
def _force_in_contact_frame(
    pyramidal: bool, dim: int, friction: vec5, rows: wp.array[wp.int32], row_force: wp.array[wp.float32]
) -> wp.vec3:
    """Return the force of one contact along its normal and its two tangents. [N]"""
    force = wp.vec3()
    if dim == 1 or not pyramidal:
        for axis in range(wp.min(dim, 3)):
            force[axis] = _force_of_row(rows, row_force, axis)
        return force
    # Two rows, edges of the pyramid, per friction direction: normal + mu * direction and normal - mu * direction. Those of torsional
    # and rolling friction (dim 4 and 6) press along the normal as well, but have no tangential force.
    for direction in range(dim - 1):
        plus = _force_of_row(rows, row_force, 2 * direction)
        minus = _force_of_row(rows, row_force, 2 * direction + 1)
        force[0] += plus + minus
        if direction < 2:
            force[direction + 1] = friction[direction] * (plus - minus)
    return force


@wp.kernel
def add_contact_forces(
    pyramidal: bool,
    num_contacts: wp.array[wp.int32],
    world: wp.array[wp.int32],
    geom: wp.array[wp.vec2i],
    dim: wp.array[wp.int32],
    frame: wp.array[wp.mat33],
    friction: wp.array[vec5],
    rows: wp.array2d[wp.int32],
    row_force: wp.array2d[wp.float32],
    as_link: wp.array[wp.int32],
    as_partner: wp.array[wp.int32],
    slot: wp.array2d[wp.int32],
    first: wp.array[wp.int32],
    num_links: wp.array[wp.int32],
    env_of_world: wp.array[wp.int32],
    total: wp.array[wp.vec3],
) -> None:
    """Add the force of each contact to the links it concerns; one thread per contact slot of the solver.

    Args:
        pyramidal: friction cone of the solver, else elliptic.
        num_contacts: (1,) contacts the solver found, which may be more than it has slots for.
        world: (slots,) world of each contact.
        geom: (slots,) its two geoms.
        dim: (slots,) 1, 3, 4 or 6 force directions.
        frame: (slots,) normal, from the first geom to the second, and tangents in world axes, by rows.
        friction: (slots,) coefficients of the tangents, spin and rolling.
        rows: (slots, rows) constraint rows of each contact, negative where there is none.
        row_force: (worlds, rows) force of each constraint row.
        as_link: (geoms,) bits of the sensors that measure the geom's body.
        as_partner: (geoms,) bits of the sensors that count it as the partner.
        slot: (sensors, geoms) number of the link in the sensor.
        first: (sensors,) first row of the sensor in `total`.
        num_links: (sensors,) links of the sensor.
        env_of_world: (worlds,) environment of each world.
        total: forces, by sensor, environment and link.
    """
    contact = wp.tid()
    if contact >= num_contacts[0]:
        return
    pair = geom[contact]
    if pair[0] < 0 or pair[1] < 0 or rows[contact, 0] < 0:
        return
    on_first = as_link[pair[0]] & as_partner[pair[1]]
    on_second = as_link[pair[1]] & as_partner[pair[0]]
    if (on_first | on_second) == 0:
        return
    force = _force_in_contact_frame(pyramidal, dim[contact], friction[contact], rows[contact], row_force[world[contact]])
    env = env_of_world[world[contact]]
    on_second_w = wp.transpose(frame[contact]) * force
    for sensor in range(num_links.shape[0]):
        start = first[sensor] + env * num_links[sensor]
        if (on_first >> sensor) & 1 == 1:
            wp.atomic_add(total, start + slot[sensor, pair[0]], -on_second_w)
        if (on_second >> sensor) & 1 == 1:
            wp.atomic_add(total, start + slot[sensor, pair[1]], on_second_w)
