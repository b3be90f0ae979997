#!/usr/bin/env bash
# Re-compile every pinned requirement file. The full set is solved first and constrains the rest, so that
# installing an extra later never moves a version that is already there.
set -euo pipefail
cd "$(dirname "$0")"
uv=${UV:-../.venv/bin/uv}
common=(--universal --python-version 3.12 --generate-hashes --no-emit-index-url --no-emit-find-links --no-annotate
        --quiet --custom-compile-command "requirements/compile.sh")
$uv pip compile "${common[@]}" "$@" full.in -o full.txt
for name in core dev; do
  $uv pip compile "${common[@]}" -c full.txt $name.in -o $name.txt
done
$uv pip compile "${common[@]}" "$@" uv.in -o uv.txt
