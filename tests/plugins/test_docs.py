"""What the authoring pages show works."""

import re
from pathlib import Path

from grail_framework.plugins.manager import GrailPluginManager

PAGES = Path(__file__).parents[2] / "docs" / "plugins"


def blocks(page, language):
    return re.findall(rf"```{language}\n(.*?)```", (PAGES / page).read_text(), re.DOTALL)


def test_first_plugin_loads(tmp_path, monkeypatch):
    import sys

    path = tmp_path / "calm.py"
    path.write_text(blocks("first_plugin.md", "python")[0])
    manager = GrailPluginManager(autoload=False, plugin_files=[path], environ={}).load()
    record = manager.records[-1]
    monkeypatch.delitem(sys.modules, "calm")
    assert (record.status.value, record.provides, record.notes) == ("active", {"reward": 1}, ())


def test_every_python_block_compiles():
    for page in PAGES.glob("*.md"):
        for block in blocks(page.name, "python"):
            source = block if not re.match(r"def \w+\(.*\) -> .*\n$", block) else block.rstrip() + ": ..."
            if page.name == "hooks.md" and not source.startswith("def "):
                source = "def example():\n" + re.sub(r"^", "    ", source, flags=re.MULTILINE)
            compile(source, page.name, "exec")


def test_links_lead_to_pages():
    for page in PAGES.glob("*.md"):
        for link in re.findall(r"\]\(([\w./]+\.md)\)", page.read_text()):
            assert (page.parent / link).exists(), f"{page.name}: {link}"
