"""What `grail checkpoints list` finds."""

import hashlib
import json

import pytest
import torch
import yaml
from click.testing import CliRunner

from grail_framework.cli.main import build_cli
from grail_framework.learning.bundles import read_bundle
from grail_framework.plugins.results import CheckpointFormat
from grail_framework.runs.bundle_catalogue import BUNDLES
from grail_framework.runs.checkpoint_list import format_name, list_bundles, list_runs
from grail_framework.runs.download_record import sha256_of, write_record
from grail_framework.runs.formats import serialize
from grail_framework.testing.bases import write_base


@pytest.fixture
def models(tmp_path):
    """A base of one's own, a downloaded bundle, half of another, and a folder of another name."""
    root = tmp_path / "models"
    for name in ("sonic_manipulation_base", "pnp_table_release", "terrain_release", "mine", "notes"):
        (root / name).mkdir(parents=True)
    (root / "sonic_manipulation_base" / "last.pt").write_bytes(serialize({"model": {"w": torch.ones(3)}, "iteration": 7}))
    (root / "sonic_manipulation_base" / "model_config.yaml").write_text("{}\n")
    for name in ("last.pt", "config.yaml"):
        path = root / "pnp_table_release" / name
        path.write_bytes(b"as fetched")
        write_record(path, revision="main", commit="c0ffee", etag=None, sha256=sha256_of(path))
    (root / "terrain_release" / ".last.pt.abc.partial").write_bytes(bytes(1500))
    (root / "mine" / "model.pt").write_bytes(b"something else")
    return root


@pytest.fixture
def runs(tmp_path):
    folder = tmp_path / "logs" / "project" / "task" / "run-1"
    folder.mkdir(parents=True)
    for step in (50, 100):
        (folder / f"model_step_{step:06d}.pt").write_bytes(bytes(step))
    (folder / "last.pt").symlink_to("model_step_000100.pt")
    (folder / "meta.yaml").write_text(yaml.safe_dump({"task": "hoi:pnp_table"}))
    (tmp_path / "logs" / "project" / "empty").mkdir()
    return tmp_path / "logs"


def test_every_bundle_of_the_release_is_there_with_its_state(models):
    entries = {entry.name: entry for entry in list_bundles(models)}
    assert list(entries) == [*(bundle.name for bundle in BUNDLES), "mine"]
    states = {name: entry.state for name, entry in entries.items()}
    assert states["sonic_manipulation_base"] == "complete"
    assert states["pnp_table_release"] == "downloaded"
    assert (states["terrain_release"], entries["terrain_release"].partial) == ("incomplete", 1500)
    assert (states["pnp_ground_release"], entries["pnp_ground_release"].missing) == ("absent", ["config.yaml", "last.pt"])
    assert states["mine"] == "own"


def test_files_have_format_digest_and_commit(models):
    entries = {entry.name: entry for entry in list_bundles(models)}
    weights, config = entries["sonic_manipulation_base"].files
    assert (weights.name, weights.format, weights.commit) == ("last.pt", "grail_framework", None)
    assert weights.sha256 == hashlib.sha256((models / "sonic_manipulation_base" / "last.pt").read_bytes()).hexdigest()
    assert (config.name, config.format, config.size) == ("model_config.yaml", None, 3)
    assert [file.commit for file in entries["pnp_table_release"].files] == ["c0ffee", "c0ffee"]
    assert entries["mine"].files[0].format == "unknown"


def test_a_downloaded_file_that_changed_is_no_longer_called_so(models):
    (models / "pnp_table_release" / "last.pt").write_bytes(b"trained here")
    (entry,) = (entry for entry in list_bundles(models) if entry.name == "pnp_table_release")
    assert entry.state == "complete"
    assert [file.commit for file in entry.files] == ["c0ffee", None]


def entry_of(models, name):
    return next(entry for entry in list_bundles(models) if entry.name == name)


def test_weights_without_their_description_are_usable(tmp_path):
    """The widths of a base come from its weights: it loads without the file beside it."""
    base = write_base(tmp_path / "sonic_manipulation_base", model_config={})
    assert entry_of(tmp_path, "sonic_manipulation_base").state == "complete"
    (base / "model_config.yaml").unlink()
    entry = entry_of(tmp_path, "sonic_manipulation_base")
    assert (entry.state, entry.missing) == ("usable", ["model_config.yaml"])
    bundle = read_bundle(base)
    assert bundle.model_config is None
    assert bundle.policy


def test_what_has_no_weights_that_can_be_read_is_incomplete(models):
    (models / "pnp_table_release" / "config.yaml").unlink()  # what is left is no checkpoint
    assert entry_of(models, "pnp_table_release").state == "incomplete"
    (models / "sonic_manipulation_base" / "last.pt").unlink()
    entry = entry_of(models, "sonic_manipulation_base")
    assert (entry.state, entry.missing) == ("incomplete", ["last.pt"])


def test_formats_of_plugins_are_asked_and_damage_is_told(models):
    other = CheckpointFormat(name="theirs", detect=lambda path: path.read_bytes() == b"something else", read=lambda _: {})
    assert format_name(models / "mine" / "model.pt", [other]) == "theirs"
    whole = (models / "sonic_manipulation_base" / "last.pt").read_bytes()
    broken = models / "mine" / "broken.pt"
    position = whole.index(b"grail_framework_checkpoint")
    broken.write_bytes(whole[:position] + b"X" + whole[position + 1 :])
    assert format_name(broken) == "damaged"


def test_runs_have_their_newest_checkpoint(runs):
    (run,) = list_runs(runs)
    assert run.path == str(runs / "project" / "task" / "run-1")
    assert (run.task, run.iteration, run.checkpoints, run.size) == ("hoi:pnp_table", 100, 2, 150)
    assert run.bundle is None
    bundle = runs / "project" / "task" / "run-1" / "bundle"
    bundle.mkdir()
    (bundle / "last.pt").write_bytes(b"weights")
    assert [entry.bundle for entry in list_runs(runs)] == [str(bundle)]


def test_folders_that_are_not_there_are_no_error(tmp_path):
    assert {entry.state for entry in list_bundles(tmp_path / "none")} == {"absent"}
    assert list_runs(tmp_path / "none") == []


def test_the_command_says_what_is_missing(models):
    for name, gone in (("sonic_manipulation_base", "model_config.yaml"), ("pnp_table_release", "last.pt")):
        (models / name / gone).unlink()
    shown = CliRunner().invoke(build_cli(), ["checkpoints", "list", "--models", str(models), "--runs", str(models)])
    lines = {line.split()[0]: " ".join(line.split()) for line in shown.stdout.splitlines() if line.strip()}
    assert lines["sonic_manipulation_base"].startswith("sonic_manipulation_base usable, without model_config.yaml ")
    assert lines["pnp_table_release"].startswith("pnp_table_release incomplete, without last.pt ")
    assert "terrain_release incomplete, without config.yaml and last.pt, 1.5 kB of a download" in lines["terrain_release"]
    assert lines["pnp_ground_release"].startswith("pnp_ground_release absent pick-up")


def test_the_command_writes_a_table_and_json(models, runs):
    line = ["checkpoints", "list", "--models", str(models), "--runs", str(runs)]
    shown = CliRunner().invoke(build_cli(), line)
    assert shown.exit_code == 0, shown.output
    assert "1.5 kB of a download" in shown.stdout
    assert "last.pt: grail_framework" in shown.stdout
    assert "hoi:pnp_table" in shown.stdout
    document = json.loads(CliRunner().invoke(build_cli(), [*line, "--json"]).stdout)
    assert document["bundles"][0]["name"] == "sonic_manipulation_base"
    assert document["runs"][0]["iteration"] == 100
