"""What isaaclab wants of the packages beside it, read from metadata that is laid out as pip does."""

from __future__ import annotations

import pytest

from grail_framework.config import distributions
from grail_framework.config.distributions import (
    PHYSICS,
    describe,
    install_line,
    installed_version,
    physics_mismatches,
    torch_cuda,
    version_mismatches,
)

ISAACLAB = (
    "numpy>=2",
    "torch==2.11.0",
    "warp-lang==1.17.0",
    "newton[sim]==1.6.1",
    "windows-thing==1 ; sys_platform == 'win32'",
    "isaacsim[all,extscache]==6.2.0.0 ; extra == 'isaacsim'",
    "ovphysx==0.6.4 ; extra == 'ovphysx'",
    "ovstage==0.2.1 ; extra == 'ovphysx'",
)
NEWTON = (
    "warp-lang>=1.17.0",
    "mujoco~=3.12.0 ; extra == 'sim'",
    "mujoco-warp~=3.12.0 ; extra == 'sim'",
    "mujoco<3 ; extra == 'old'",
)
GOOD = {"torch": "2.11.0", "warp-lang": "1.17.0", "newton": "1.6.1", "mujoco": "3.12.0", "mujoco-warp": "3.12.1"}


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Install distributions, without any module, before all others."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def put(name, version, wanted=()):
        for old in tmp_path.glob(f"{name.replace('-', '_')}-*.dist-info/*"):
            old.unlink()
            old.parent.rmdir()
        folder = tmp_path / f"{name.replace('-', '_')}-{version}.dist-info"
        folder.mkdir()
        lines = [
            "Metadata-Version: 2.4",
            f"Name: {name}",
            f"Version: {version}",
            *(f"Requires-Dist: {line}" for line in wanted),
        ]
        (folder / "METADATA").write_text("\n".join(lines) + "\n")

    for name, version in GOOD.items():
        put(name, version, NEWTON if name == "newton" else ())
    put("isaaclab", "3.0.0", ISAACLAB)
    return put


def test_what_isaaclab_wants_is_there(install):
    assert version_mismatches() == []
    assert physics_mismatches("newton") == []


@pytest.mark.parametrize("version", ["2.11.0+cu130", "2.11.0+cpu"])
def test_a_local_version_is_the_same_version(install, version):
    install("torch", version)
    assert version_mismatches() == []


@pytest.mark.parametrize(
    ("name", "version", "wanted", "by"),
    [
        ("torch", "2.9.1", "torch==2.11.0", "isaaclab 3.0.0"),
        ("newton", "1.5.0", "newton[sim]==1.6.1", "isaaclab 3.0.0"),
        ("mujoco", "3.3.7", "mujoco~=3.12.0", "newton 1.6.1"),
        ("mujoco-warp", "3.13.0", "mujoco-warp~=3.12.0", "newton 1.6.1"),
    ],
)
def test_another_version_is_named_with_the_one_wanted_and_the_cure(install, name, version, wanted, by):
    install(name, version, NEWTON if name == "newton" else ())
    (found,) = version_mismatches()
    assert (found.requirement, found.installed, found.wanted_by) == (wanted, version, by)
    assert describe([found]) == f"{by} wants {wanted} ({version} is installed)"
    assert install_line([found]) == f"pip install '{wanted}'"


def test_one_package_that_two_want(install):
    install("warp-lang", "1.10.0")
    both = version_mismatches()
    assert describe(both) == (
        "isaaclab 3.0.0 wants warp-lang==1.17.0 (1.10.0 is installed); newton 1.6.1 wants warp-lang>=1.17.0 (1.10.0 is installed)"
    )
    assert install_line(both) == "pip install 'warp-lang==1.17.0' 'warp-lang>=1.17.0'"


def test_physics_that_is_not_installed(install):
    install("ovstage", "0.2.1")
    (missing,) = physics_mismatches("ovphysx")
    assert (missing.requirement, missing.installed) == ("ovphysx==0.6.4", None)
    install("ovphysx", "0.6.3")
    assert describe(physics_mismatches("ovphysx")) == "isaaclab 3.0.0 wants ovphysx==0.6.4 (0.6.3 is installed)"
    install("ovphysx", "0.6.4")
    assert physics_mismatches("ovphysx") == []
    assert install_line(physics_mismatches("physx")) == "pip install 'isaacsim[all,extscache]==6.2.0.0'"


def test_isaac_sim_from_an_archive_is_found_by_its_module(install, tmp_path, monkeypatch):
    package = tmp_path / "isaacsim"
    package.mkdir()
    assert physics_mismatches("physx")  # a folder without __init__.py is only part of a namespace
    (package / "__init__.py").touch()
    monkeypatch.syspath_prepend(str(tmp_path))
    assert physics_mismatches("physx") == []


def test_an_isaaclab_that_states_no_versions(install):
    install("isaaclab", "4.0.0")
    assert version_mismatches() == []
    assert [found.requirement for found in physics_mismatches("ovphysx")] == ["ovphysx", "ovstage"]


def test_without_isaaclab_nothing_is_wanted(monkeypatch):
    monkeypatch.setattr(distributions, "ISAACLAB", "no-such-isaaclab")
    assert version_mismatches() == []
    assert installed_version("no-such-isaaclab") is None


@pytest.mark.parametrize("physics", PHYSICS)
def test_the_isaaclab_of_this_machine_can_be_read(physics):
    for found in (*version_mismatches(), *physics_mismatches(physics)):
        assert found.requirement


@pytest.mark.parametrize(
    ("line", "cuda"), [("cuda: Optional[str] = '13.0'", "13.0"), ("cuda = '12.8'", "12.8"), ("cuda = None", None)]
)
def test_cuda_of_torch_is_read_without_importing_it(tmp_path, monkeypatch, line, cuda):
    (tmp_path / "torch").mkdir()
    (tmp_path / "torch" / "__init__.py").write_text("raise RuntimeError")
    (tmp_path / "torch" / "version.py").write_text(f"__version__ = '2.11.0'\ndebug = False\n{line}\nhip = None\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(__import__("sys").modules, "torch", raising=False)
    assert torch_cuda() == cuda
