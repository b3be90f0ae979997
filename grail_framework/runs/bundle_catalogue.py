"""The checkpoint bundles of the public GRAIL release: their names, their files, and which of them a command line asks for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import attrs

from grail_framework.errors import NotFoundError, suggest

if TYPE_CHECKING:
    from collections.abc import Collection

REPOSITORY: Final = "nvidia/PhysicalAI-Robotics-Locomanipulation-GRAIL"
"""The data set on the hub that holds the bundles."""
FOLDER: Final = "checkpoint/SONIC/models"
"""Where they lie in it."""
WEIGHTS: Final = "last.pt"
"""The file of a bundle that cannot be done without; the other one describes it."""
ALL: Final = "sonic"
"""What the release's download script calls all of them together."""


@attrs.frozen(kw_only=True)
class ReleaseBundle:
    """A folder of the release: a checkpoint and the configuration beside it."""

    name: str
    """The folder's name, there and under `models/`."""
    family: str
    """What `--only` and `--skip-...` may call it."""
    files: tuple[str, ...]
    """What it holds."""
    about: str
    """What it is for, in a few words."""
    documented: dict[str, str] = attrs.field(factory=dict)
    """SHA-256 by file name as the release's documentation states it. Nobody has confirmed them: a difference is told, not refused."""


BUNDLES: Final = (
    ReleaseBundle(
        name="sonic_manipulation_base",
        family="base",
        files=("model_config.yaml", WEIGHTS),
        about="frozen base of pick-up and manipulation",
        documented={WEIGHTS: "62f3e336cc11cbfb7517fee1f053ed92c81d44accd3757faa0febf421d0a2cd4"},
    ),
    *(
        ReleaseBundle(name=name, family=family, files=("config.yaml", WEIGHTS), about=about)
        for name, family, about in (
            ("pnp_table_warmstart", "pnp_table", "pick-up from a table, start of finetuning"),
            ("pnp_ground_warmstart", "pnp_ground", "pick-up from the ground, start of finetuning"),
            ("terrain_stairs_warmstart", "terrain", "stairs, start of finetuning"),
            ("pnp_table_release", "pnp_table", "pick-up from a table"),
            ("pnp_ground_release", "pnp_ground", "pick-up from the ground"),
            ("terrain_release", "terrain", "curbs, slopes, stairs, sitting"),
        )
    ),
)
"""All bundles, the base first: it is what most runs wait for."""

FAMILIES: Final = tuple(dict.fromkeys(bundle.family for bundle in BUNDLES))
"""Names that stand for one or more bundles."""


def select_bundles(only: Collection[str] = (), skip: Collection[str] = ()) -> list[ReleaseBundle]:
    """Return the bundles that are asked for, in the catalogue's order; may be empty.

    Args:
        only: names of bundles or families, or `sonic` for all; empty: all.
        skip: the same kind of names, left out.

    Raises:
        NotFoundError: a name that is none of them.
    """
    known = {ALL, *FAMILIES, *(bundle.name for bundle in BUNDLES)}
    for name in (*only, *skip):
        if name not in known:
            raise NotFoundError(f"no bundle {name!r} in the release; {suggest(name, known)}")

    def named(bundle: ReleaseBundle, names: Collection[str]) -> bool:
        return any(name in names for name in (ALL, bundle.family, bundle.name))

    return [bundle for bundle in BUNDLES if (not only or named(bundle, only)) and not named(bundle, skip)]


def find_bundle(name: str) -> ReleaseBundle | None:
    """Return the bundle of a folder's name; None where the release has none of it."""
    return next((bundle for bundle in BUNDLES if bundle.name == name), None)
