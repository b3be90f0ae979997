"""Regenerate the reference pages and check every link between pages: `make docs`."""

from __future__ import annotations

import re
import sys
from pathlib import Path

from grail_framework.config.reference import reference_page
from grail_framework.plugins.reference import render as hooks_page

DOCS = Path(__file__).resolve().parent
PAGES = {"reference/config.md": reference_page, "plugins/hooks.md": hooks_page}
_LINK = re.compile(r"\[[^\]]*\]\(([^)#\s]+)(?:#[^)]*)?\)")


def broken_links(root: Path) -> list[str]:
    """List `page: target` of the relative links that lead nowhere, over the docs and the files beside them."""
    pages = [*sorted(root.rglob("*.md")), *sorted(root.parent.glob("*.md"))]
    return [
        f"{page.relative_to(root.parent)}: {target}"
        for page in pages
        for target in _LINK.findall(page.read_text(encoding="utf-8"))
        if "://" not in target and not (page.parent / target).exists()
    ]


def main() -> int:
    """Write the generated pages and report broken links."""
    for name, generate in PAGES.items():
        (DOCS / name).write_text(generate(), encoding="utf-8")
        print(f"wrote docs/{name}")
    broken = broken_links(DOCS)
    for line in broken:
        print(f"broken link in {line}", file=sys.stderr)
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
