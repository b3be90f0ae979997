#!/usr/bin/env bash
# Make .venv ready: find a Python 3.12, bring uv in, install the pinned sets named as arguments (core dev full uv-extras),
# install this project and its plugins in editable form. Does nothing that is already done.
#
#   requirements/setup.sh core            what `grail run` needs
#   requirements/setup.sh core dev        tests and lint as well
#   EXTRAS=isaaclab requirements/setup.sh core    with an optional extra of pyproject.toml
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
cd "$root"
venv=.venv
say() { printf '\033[1m==>\033[0m %s\n' "$*" >&2; }

is_312() { "$1" -c 'import ensurepip, ssl, sys, venv; sys.exit(sys.version_info[:2] != (3, 12))' >/dev/null 2>&1; }

find_python() {
  local candidate root
  if [ -n "${PYTHON:-}" ] && ! is_312 "$PYTHON"; then say "PYTHON=$PYTHON is no usable Python 3.12; looking for another"; fi
  for candidate in ${PYTHON:-} python3.12; do
    # A pyenv shim exists for versions that are not selected, and fails when run: only one that runs counts.
    candidate=$(command -v "$candidate" || true)
    if [ -n "$candidate" ] && is_312 "$candidate"; then echo "$candidate"; return; fi
  done
  if command -v pyenv >/dev/null 2>&1; then
    # `pyenv root` follows HOME; the folder pyenv itself lies in does not.
    for root in "$(pyenv root)" "$(dirname "$(dirname "$(readlink -f "$(command -v pyenv)")")")" \
                "$(dirname "$(dirname "$(command -v pyenv)")")"; do
      for candidate in "$root"/versions/3.12*/bin/python3; do
        if [ -x "$candidate" ] && is_312 "$candidate"; then echo "$candidate"; return; fi
      done
    done
  fi
  for candidate in python3 python; do
    candidate=$(command -v "$candidate" || true)
    if [ -n "$candidate" ] && is_312 "$candidate"; then echo "$candidate"; return; fi
  done
}

# No Python 3.12 here: any recent Python can carry uv, and uv fetches one.
bootstrap_with_uv() {
  local python
  for python in python3 python; do
    command -v "$python" >/dev/null 2>&1 && "$python" -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 8))' 2>/dev/null && break
    python=""
  done
  [ -n "$python" ] || { echo "setup: no usable Python found; install Python 3.12 or set PYTHON=/path/to/python3.12" >&2; exit 1; }
  boot=$(mktemp -d)
  trap 'rm -rf "$boot"' EXIT  # boot is not local: the trap runs after this function
  "$python" -m venv "$boot"
  "$boot/bin/python" -m pip install -q --disable-pip-version-check --require-hashes -r requirements/uv.txt
  "$boot/bin/uv" venv -q --seed --python 3.12 "$venv"
}

if ! { [ -x "$venv/bin/python" ] && "$venv/bin/python" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 12))' 2>/dev/null; }; then
  python=$(find_python)
  if [ -n "$python" ]; then
    say "creating $venv with $("$python" --version)"
    "$python" -m venv "$venv"
  else
    say "no Python 3.12 found; letting uv fetch one"
    bootstrap_with_uv
  fi
fi

done_already() { grep -qxF "$1" "$stamp"; }
# One line per installed set; an older line of the same set no longer holds.
note_done() { sed -i.bak "/^${1%% *} /d" "$stamp" && rm -f "$stamp.bak" && echo "$1" >>"$stamp"; }
stamp_of() { cat requirements/"$1".txt pyproject.toml plugins/*/pyproject.toml | cksum | tr -d ' \t\n'; }
stamp="$venv/.grail-setup"
touch "$stamp"

mark="uv $(cksum <requirements/uv.txt)"
if ! done_already "$mark"; then
  "$venv/bin/python" -m pip install -q --disable-pip-version-check --require-hashes -r requirements/uv.txt
  note_done "$mark"
fi
uv="$venv/bin/uv"
export VIRTUAL_ENV="$root/$venv"

for name in "$@"; do
  mark="$name $(stamp_of "$name")"
  if ! done_already "$mark"; then
    say "installing requirements/$name.txt"
    "$uv" pip install -q --require-hashes -r "requirements/$name.txt"
    note_done "$mark"
  fi
done

for extra in ${EXTRAS:-}; do
  mark="extra-$extra $(stamp_of full)"
  if ! done_already "$mark"; then
    say "installing the extra $extra"
    "$uv" pip install -q -c requirements/full.txt "grail-framework[$extra] @ file://$root"
    note_done "$mark"
    sed -i.bak '/^project /d' "$stamp" && rm -f "$stamp.bak"  # the line above installed a copy: make it editable again
  fi
done

mark="project $(stamp_of core)"
if ! done_already "$mark"; then
  say "installing the project and its plugins"
  "$uv" pip install -q --no-deps --no-build-isolation -e . -e plugins/rewards -e plugins/hoi -e plugins/terrain
  note_done "$mark"
fi
