"""`grail data bps` on the command line."""

import json

import numpy as np
import pytest
from click.testing import CliRunner

from grail_framework.assets.usd_writer import write_box_usd
from grail_framework.cli.main import build_cli

CUBE_SET = [0.6763, 0.1632, 0.5823, 0.3305, 0.7437, 0.5463, 0.5513, 0.2726, 0.3664, 0.5509]


def invoke(*args):
    return CliRunner().invoke(build_cli(), ["data", "bps", *map(str, args)], prog_name="grail")


@pytest.fixture
def library(tmp_path):
    write_box_usd(tmp_path / "cubes" / "object_usd" / "cube.usd", (0.2, 0.2, 0.2))
    return tmp_path / "cubes"


def test_sets_are_written_beside_the_assets(library):
    result = invoke(library)
    assert result.exit_code == 0, result.output
    assert f"written: 1 to {library / 'bps'}" in result.stdout
    np.testing.assert_allclose(np.load(library / "bps" / "cube.npy"), CUBE_SET, atol=1e-4)


def test_the_releases_own_line_works(library, tmp_path):
    result = invoke("--object_usd_dir", library / "object_usd", "--output_dir", tmp_path / "sets", "--num_basis", "10")
    assert result.exit_code == 0, result.output
    assert sorted(path.name for path in (tmp_path / "sets").iterdir()) == ["_basis.npy", "cube.npy"]


def test_the_folder_of_the_assets_itself_may_be_named(library):
    assert invoke(library / "object_usd").exit_code == 0
    assert (library / "bps" / "cube.npy").is_file()


def test_a_bad_asset_is_named_and_the_others_are_written(library):
    (library / "object_usd" / "broken.usd").write_bytes(b"nothing")
    result = invoke(library)
    assert result.exit_code == 1
    assert "SKIP broken: " in result.stdout
    assert (library / "bps" / "cube.npy").is_file()
    document = json.loads(invoke(library, "--json").stdout)
    assert [item["key"] for item in document["skipped"]] == ["broken"]
    assert document["ok"] is False


def test_mistakes_are_usage_errors(tmp_path):
    assert "a folder is needed" in invoke().stderr
    result = invoke(tmp_path)
    assert result.exit_code == 2
    assert "no object assets" in result.stderr


def test_help_says_where_values_differ_from_the_releases():
    text = " ".join(invoke("--help").output.split())
    assert "every mesh starts from --seed" in text
    assert "[default: 2048; x>=1]" in text
