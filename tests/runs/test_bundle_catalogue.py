import pytest

from grail_framework.errors import NotFoundError
from grail_framework.runs.bundle_catalogue import BUNDLES, FAMILIES, find_bundle, select_bundles


def test_the_names_are_those_of_the_release():
    assert {bundle.name: bundle.files for bundle in BUNDLES} == {
        "sonic_manipulation_base": ("model_config.yaml", "last.pt"),
        "pnp_table_warmstart": ("config.yaml", "last.pt"),
        "pnp_ground_warmstart": ("config.yaml", "last.pt"),
        "terrain_stairs_warmstart": ("config.yaml", "last.pt"),
        "pnp_table_release": ("config.yaml", "last.pt"),
        "pnp_ground_release": ("config.yaml", "last.pt"),
        "terrain_release": ("config.yaml", "last.pt"),
    }
    assert FAMILIES == ("base", "pnp_table", "pnp_ground", "terrain")


def test_names_are_taken_together_and_left_out():
    assert select_bundles() == list(BUNDLES) == select_bundles(["sonic"])
    assert [bundle.name for bundle in select_bundles(["pnp_ground", "base"], ["pnp_ground_release"])] == [
        "sonic_manipulation_base",
        "pnp_ground_warmstart",
    ]
    assert select_bundles(["sonic"], ["sonic"]) == []
    with pytest.raises(NotFoundError, match="allowed"):
        select_bundles(skip=["xyzzy"])


def test_a_folder_may_be_of_no_bundle():
    assert find_bundle("terrain_release") is BUNDLES[-1]
    assert find_bundle("mine") is None
