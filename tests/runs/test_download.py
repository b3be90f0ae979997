"""`grail checkpoints download` against a hub on this machine."""

import hashlib
import json
import shutil
import subprocess
import sys
import time
from collections import namedtuple

import local_hub
import numpy as np
import pytest
from click.testing import CliRunner
from local_hub import COMMIT, FOLDER, OLDER, LocalHub

from grail_framework.cli.main import build_cli
from grail_framework.runs.bundle_catalogue import BUNDLES

BASE = "sonic_manipulation_base"
# The library hands on 10 485 760 bytes at a time: what is cut must be longer.
CHUNK = 10 * 1024 * 1024
LARGE = np.random.default_rng(0).bytes(CHUNK * 2 + 12345)


@pytest.fixture
def hub(monkeypatch):
    """A hub with all seven bundles; a login token is set, which must not leave it."""
    for name in ("HF_ENDPOINT", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost")
    monkeypatch.setenv("HF_TOKEN", "hf_of_the_test")
    made = LocalHub()
    for bundle in BUNDLES:
        for name in bundle.files:
            made.put(f"{bundle.name}/{name}", f"{bundle.name} {name}".encode() * 50)
    yield made
    made.close()


@pytest.fixture(scope="module")
def cli():
    return build_cli()


@pytest.fixture
def download(cli, hub, tmp_path):
    """Run `grail checkpoints download` into a folder of the test; return exit code, stdout, stderr."""

    def run(*arguments):
        line = ["checkpoints", "download", "--models", tmp_path / "models", "--endpoint", hub.endpoint, *arguments]
        done = CliRunner().invoke(cli, [str(argument) for argument in line])
        return done.exit_code, done.stdout, done.stderr

    return run


@pytest.fixture
def impatient(monkeypatch):
    """The library waits a second before it takes up a broken connection again."""
    import huggingface_hub.file_download as module

    monkeypatch.setattr(module, "time", namedtuple("Clock", "sleep")(lambda _: None))


def names(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_all_bundles_come_whole_and_only_once(download, hub, tmp_path):
    code, text, error = download()
    assert code == 0, error
    models = tmp_path / "models"
    assert sorted(path.name for path in models.iterdir()) == sorted(bundle.name for bundle in BUNDLES)
    for bundle in BUNDLES:
        assert names(models / bundle.name) == sorted((".download.json", *bundle.files))
        for name in bundle.files:
            assert (models / bundle.name / name).read_bytes() == f"{bundle.name} {name}".encode() * 50
    assert "14 files" in text
    assert "14 fetched" in text
    assert len(hub.streamed()) == 14
    asked = len(hub.requests)
    code, text, _ = download()
    assert (code, len(hub.requests)) == (0, asked)  # the server was not asked at all
    assert "0 fetched" in text


def test_the_token_stays_with_the_hub(download, hub):
    assert download("--only", "base")[0] == 0
    tokens = {
        path.split("/")[1]: headers.get("Authorization") or headers.get("authorization") for _, path, headers in hub.requests
    }
    assert tokens == {"datasets": "Bearer hf_of_the_test", "store": None}


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("--only", "sonic"), [bundle.name for bundle in BUNDLES]),
        (("--only", "base"), [BASE]),
        (("--only", BASE, "--only", "terrain"), [BASE, "terrain_stairs_warmstart", "terrain_release"]),
        (("--only", "pnp_table", "--skip-base"), ["pnp_table_warmstart", "pnp_table_release"]),
        (("--skip-pnp-table", "--skip-pnp-ground", "--skip-terrain"), [BASE]),
        # The release's own line for its trackers, and the one that leaves them out.
        (
            (
                "--skip-gem-smpl",
                "--skip-gem-soma",
                "--skip-foundationpose",
                "--skip-hunyuan3d",
                "--skip-terrain",
                "--skip-pnp-table",
            ),
            [BASE, "pnp_ground_warmstart", "pnp_ground_release"],
        ),
        (("--skip-sonic",), []),
    ],
)
def test_what_is_fetched_can_be_chosen(download, hub, tmp_path, arguments, expected):
    code, text, error = download(*arguments)
    assert code == 0, error
    models = tmp_path / "models"
    assert sorted(path.name for path in models.glob("*")) == sorted(expected)
    assert len(hub.streamed()) == 2 * len(expected)
    assert expected or "nothing is left" in text


def test_an_unknown_name_is_answered_with_those_like_it(download):
    code, _, error = download("--only", "pnp_tabel")
    assert code == 2
    assert "did you mean 'pnp_table'" in error


def test_json_says_where_from_and_what(download, tmp_path):
    code, text, _ = download("--only", "base", "--json")
    assert code == 0
    config, weights = json.loads(text)
    content = f"{BASE} last.pt".encode() * 50
    assert config["path"] == str(tmp_path / "models" / BASE / "model_config.yaml")
    assert weights["sha256"] == hashlib.sha256(content).hexdigest()
    assert (weights["state"], weights["size"], weights["commit"]) == ("fetched", len(content), COMMIT)
    # The documentation's digest of the base is told where it differs, and not enforced.
    assert "62f3e336cc11cbfb" in weights["notes"][0]
    assert config["notes"] == []


def test_a_killed_download_goes_on_where_it_stopped(download, hub, tmp_path):
    hub.put(f"{BASE}/last.pt", LARGE)
    hub.stall = CHUNK + 1000
    command = [sys.executable, "-m", "grail_framework", "checkpoints", "download", "--only", "base", "--endpoint", hub.endpoint]
    folder = tmp_path / "models" / BASE
    until = time.monotonic() + 60
    with subprocess.Popen([*command, "--models", tmp_path / "models"], stdout=subprocess.DEVNULL) as process:
        while not (kept := [path for path in folder.glob(".last.pt.*.partial") if path.stat().st_size >= CHUNK]):
            assert time.monotonic() < until
            assert process.poll() is None
            time.sleep(0.02)
        process.kill()
    assert not (folder / "last.pt").exists()
    size = kept[0].stat().st_size
    assert hub.streamed()[-1][1] is None
    code, text, error = download("--only", "base", "--json")
    assert code == 0, error
    assert [asked for _, asked in hub.streamed()][-1] == f"bytes={size}-"
    assert [file["state"] for file in json.loads(text)] == ["complete", "resumed"]
    assert (folder / "last.pt").read_bytes() == LARGE
    assert names(folder) == [".download.json", "last.pt", "model_config.yaml"]


@pytest.mark.usefixtures("impatient")
def test_a_broken_connection_is_taken_up_again(download, hub, tmp_path):
    hub.put(f"{BASE}/last.pt", LARGE)
    (tmp_path / "models" / BASE).mkdir(parents=True)
    (tmp_path / "models" / BASE / "model_config.yaml").write_bytes(hub.files[COMMIT][f"{FOLDER}/{BASE}/model_config.yaml"])
    hub.cut = CHUNK + 5
    assert download("--only", "base")[0] == 0
    assert [asked for _, asked in hub.streamed()][-2:] == [None, f"bytes={CHUNK}-"]
    assert (tmp_path / "models" / BASE / "last.pt").read_bytes() == LARGE


@pytest.mark.usefixtures("impatient")
def test_a_connection_that_stays_away_is_given_up_and_what_came_is_kept(download, hub, tmp_path):
    hub.put(f"{BASE}/last.pt", LARGE)
    hub.cut, hub.down_after_cut = CHUNK + 5, True
    code, _, error = download("--only", "base")
    assert code == 1
    assert f"{BASE}/last.pt: what came is kept, the same command goes on from there" in error
    (kept,) = (tmp_path / "models" / BASE).glob(".last.pt.*.partial")
    assert kept.read_bytes() == LARGE[:CHUNK]
    hub.down = False
    assert download("--only", "base")[0] == 0
    assert (tmp_path / "models" / BASE / "last.pt").read_bytes() == LARGE


def test_wrong_content_is_thrown_away(download, hub, tmp_path):
    hub.corrupt = True
    code, _, error = download("--only", "base")
    assert code == 1
    assert f"{BASE}/model_config.yaml: wrong checksum" in error
    assert names(tmp_path / "models") == []
    hub.corrupt = False
    assert download("--only", "base")[0] == 0


def test_wrong_content_leaves_the_older_file(download, hub, tmp_path):
    assert download("--only", "base")[0] == 0
    before = (tmp_path / "models" / BASE / "last.pt").read_bytes()
    hub.corrupt = True
    code, _, error = download("--only", "base", "--force")
    assert code == 1
    assert "wrong checksum" in error
    assert (tmp_path / "models" / BASE / "last.pt").read_bytes() == before
    assert not list((tmp_path / "models" / BASE).glob(".*.partial"))


def test_without_a_checksum_the_size_alone_is_compared_and_that_is_said(download, hub):
    hub.with_checksums = False
    code, text, _ = download("--only", "terrain_release", "--json")
    assert code == 0
    config, weights = json.loads(text)
    assert config["notes"] == []
    assert "no checksum" in weights["notes"][0]


def test_another_revision_replaces_what_a_download_brought_and_nothing_else(download, hub, tmp_path):
    hub.revisions |= {"old": OLDER, OLDER: OLDER}
    hub.put("terrain_release/last.pt", b"older weights", OLDER)
    hub.put("terrain_release/config.yaml", b"terrain_release config.yaml" * 50, OLDER)
    target = tmp_path / "models" / "terrain_release" / "last.pt"
    assert download("--only", "terrain_release")[0] == 0
    assert download("--only", "terrain_release", "--revision", "old")[0] == 0
    assert target.read_bytes() == b"older weights"
    target.write_bytes(b"trained here")
    for revision in ("old", "main"):
        code, _, error = download("--only", "terrain_release", "--revision", revision)
        assert code == 1
        assert "--force" in error
        assert target.read_bytes() == b"trained here"
    assert download("--only", "terrain_release", "--force")[0] == 0
    assert target.read_bytes() == b"terrain_release last.pt" * 50


def test_files_brought_by_other_means_are_recognised(download, hub, tmp_path):
    folder = tmp_path / "models" / "terrain_release"
    folder.mkdir(parents=True)
    for name in ("last.pt", "config.yaml"):
        (folder / name).write_bytes(f"terrain_release {name}".encode() * 50)
    code, text, _ = download("--only", "terrain_release")
    assert code == 0
    assert "0 fetched" in text
    assert hub.streamed() == []


def test_an_unknown_revision_and_a_missing_file_are_named(download, hub, tmp_path):
    code, _, error = download("--revision", "v9")
    assert code == 1
    assert "no such revision" in error
    assert "'v9'" in error
    del hub.files[COMMIT]["checkpoint/SONIC/models/terrain_release/config.yaml"]
    code, _, error = download("--only", "terrain")
    assert code == 1
    assert "terrain_release/config.yaml" in error
    assert not (tmp_path / "models").exists()  # found out before anything was fetched


def test_no_network_is_one_message_at_once(cli, tmp_path):
    line = ["checkpoints", "download", "--models", str(tmp_path / "m"), "--endpoint", "http://127.0.0.1:9"]
    started = time.monotonic()
    done = CliRunner().invoke(cli, line)
    assert time.monotonic() - started < 5
    assert done.exit_code == 1
    assert done.stderr.count("127.0.0.1:9 cannot be reached") == 1
    assert "Check the network" in done.stderr
    assert not (tmp_path / "m").exists()


@pytest.mark.parametrize("endpoint", ["nonsense", "http://"])
def test_an_address_that_is_none_is_refused(cli, tmp_path, endpoint):
    done = CliRunner().invoke(cli, ["checkpoints", "download", "--models", str(tmp_path / "m"), "--endpoint", endpoint])
    assert done.exit_code == 1
    assert "--endpoint" in done.stderr


def test_the_address_comes_from_the_environment_too(cli, hub, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", hub.endpoint + "/")
    done = CliRunner().invoke(cli, ["checkpoints", "download", "--only", "base", "--models", str(tmp_path / "m")])
    assert done.exit_code == 0, done.stderr
    assert len(hub.streamed()) == 2


def test_a_server_that_is_no_hub_is_told_apart(download, hub, monkeypatch):
    hub.revisions["main"] = ""
    hub.files[""] = hub.files[COMMIT]
    monkeypatch.setattr(local_hub._Handler, "send_header", _unless_commit)
    code, _, error = download("--only", "base")
    assert code == 1
    assert "does not answer like a hub" in error


def _unless_commit(handler, name, value):
    from http.server import BaseHTTPRequestHandler

    if name != "X-Repo-Commit":
        BaseHTTPRequestHandler.send_header(handler, name, value)


def test_too_little_room_is_said_before_anything_is_fetched(download, hub, tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: namedtuple("Usage", "free")(1000))
    code, _, error = download("--only", "terrain")
    assert code == 1
    assert "1.0 kB are free" in error
    assert hub.streamed() == []
    assert not (tmp_path / "models").exists()


def test_a_disk_that_fills_up_keeps_what_came(download, hub, tmp_path, files_up_to):
    hub.put(f"{BASE}/last.pt", LARGE)
    with files_up_to(CHUNK + 4096):
        code, _, error = download("--only", "base")
    assert code == 1
    assert "the disk is full" in error
    folder = tmp_path / "models" / BASE
    assert not (folder / "last.pt").exists()
    (kept,) = folder.glob(".last.pt.*.partial")
    size = kept.stat().st_size
    assert size >= CHUNK
    assert download("--only", "base")[0] == 0
    assert hub.streamed()[-1][1] == f"bytes={size}-"
    assert (folder / "last.pt").read_bytes() == LARGE


def test_two_downloads_into_one_folder_are_not_done(download, tmp_path):
    from filelock import FileLock

    (tmp_path / "models").mkdir()
    with FileLock(tmp_path / "models" / ".download.lock"):
        code, _, error = download("--only", "base")
    assert code == 1
    assert "another download" in error
