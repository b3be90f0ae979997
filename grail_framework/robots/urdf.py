"""URDF as MuJoCo can read it whole: meshes found, links kept apart, the base set free."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from xml.etree import ElementTree

from grail_framework.errors import AssetError

if TYPE_CHECKING:
    from pathlib import Path

_MESHES: Final = (".stl", ".obj", ".msh")
_WORLD: Final = "world"


def urdf_for_mujoco(root: ElementTree.Element, path: Path) -> str:
    """Rewrite a URDF (changed in place) so that MuJoCo reads what it says.

    What only matters to the eye goes; mesh files become absolute; fixed links are not merged into their parents; inertias are
    those of the file; the root link, which a URDF leaves open, floats.

    Raises:
        AssetError: a mesh is missing or of a type that MuJoCo does not read, or there is no root link.
    """
    _check_root(root, path)
    for link in root.iter("link"):
        for visual in link.findall("visual"):
            link.remove(visual)
    compiler = root.find("mujoco/compiler")
    mesh_folder = compiler.get("meshdir", "") if compiler is not None else ""
    for mesh in root.iter("mesh"):
        mesh.set("filename", str(find_mesh(mesh.get("filename", ""), path, mesh_folder)))
    for section in root.findall("mujoco"):
        root.remove(section)
    section = ElementTree.SubElement(root, "mujoco")
    settings = {"fusestatic": "false", "strippath": "false", "discardvisual": "true", "inertiafromgeom": "false"}
    ElementTree.SubElement(section, "compiler", settings)
    _set_free(root)
    return ElementTree.tostring(root, encoding="unicode")


def find_mesh(name: str, urdf: Path, mesh_folder: str = "") -> Path:
    """Find the file that a URDF's mesh name means.

    `package://NAME/PATH` is looked up in the folders above the URDF: `PATH` in one called NAME, else `NAME/PATH`, else `PATH` in
    any of them.

    Raises:
        AssetError: it is nowhere, or of a type that MuJoCo does not read.
    """
    folder = urdf.resolve().parent
    above = (folder, *folder.parents)
    scheme, _, rest = name.rpartition("://")
    if scheme in ("package", "model"):
        package, _, inner = rest.partition("/")
        tried = [
            *(up / inner for up in above if up.name == package),
            *(up / rest for up in above),
            *(up / inner for up in above),
        ]
    else:
        plain = folder / rest  # an absolute path replaces the folder
        tried = [plain, folder / mesh_folder / plain.name]
    found = next((place for place in tried if place.is_file()), None)
    if found is None:
        raise AssetError(
            f"{urdf}: the mesh {name!r} is not there (looked for {tried[0]} and {len(tried) - 1} more); put the meshes beside the "
            'URDF as it names them, or name their folder in <mujoco><compiler meshdir="..."/></mujoco>'
        )
    if found.suffix.lower() not in _MESHES:
        raise AssetError(f"{urdf}: the collision mesh {name!r} cannot be read; convert it to one of {', '.join(_MESHES)}")
    return found


def _check_root(root: ElementTree.Element, path: Path) -> None:
    links = [link.get("name", "") for link in root.findall("link")]
    tops = _tops(root)
    if len(tops) != 1:
        raise AssetError(f"{path}: {len(links)} links with {len(tops)} roots ({', '.join(tops[:4])}); a URDF has one root link")
    fixed = [
        joint
        for joint in root.findall("joint")
        if _link_of(joint, "parent") == _WORLD and joint.get("type") not in ("floating", None)
    ]
    if fixed and tops == [_WORLD]:
        raise AssetError(
            f"{path}: no floating base: the joint {fixed[0].get('name')!r} holds the robot to the link 'world'; make its type "
            "'floating', or delete it and that link"
        )


def _set_free(root: ElementTree.Element) -> None:
    top = _tops(root)[0]
    if top == _WORLD:
        return
    ElementTree.SubElement(root, "link", {"name": _WORLD})
    joint = ElementTree.SubElement(root, "joint", {"name": "floating_base", "type": "floating"})
    ElementTree.SubElement(joint, "parent", {"link": _WORLD})
    ElementTree.SubElement(joint, "child", {"link": top})


def _tops(root: ElementTree.Element) -> list[str]:
    """Names of the links that no joint moves."""
    children = {_link_of(joint, "child") for joint in root.findall("joint")}
    return [name for link in root.findall("link") if (name := link.get("name", "")) not in children]


def _link_of(joint: ElementTree.Element, end: str) -> str:
    element = joint.find(end)
    return element.get("link", "") if element is not None else ""
