"""The child process in which CoACD splits one mesh: `python -m grail_framework.assets.coacd_process REQUEST.npz RESULT.npz`.

CoACD is a C++ library that may print, run for ever or end its process on a mesh it does not like; none of that reaches the caller.
"""

from __future__ import annotations

import json
import sys

import coacd
import numpy as np

from grail_framework.assets.triangles import how_far_beyond


def main(request: str, result: str) -> None:
    """Read vertices, faces and settings, and write the corners of the pieces one behind the other, their counts, and the reach."""
    with np.load(request, allow_pickle=False) as arrays:
        vertices, faces = arrays["vertices"], arrays["faces"]
        settings = json.loads(str(arrays["settings"]))
    coacd.set_log_level("off")
    mesh = coacd.Mesh(vertices, faces)
    pieces = [(np.asarray(v, dtype=np.float64), np.asarray(f, dtype=np.int64)) for v, f in coacd.run_coacd(mesh, **settings)]
    corners = np.concatenate([np.empty((0, 3)), *(vertices for vertices, _ in pieces)])
    counts = np.array([len(vertices) for vertices, _ in pieces], dtype=np.int64)
    reach = how_far_beyond(pieces, vertices, faces)
    np.savez(result, allow_pickle=False, corners=corners, counts=counts, reach=np.array(reach))


if __name__ == "__main__":
    main(*sys.argv[1:])
