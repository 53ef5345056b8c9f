# What scripts/up, scripts/test and scripts/check share: system packages and .venv.
# Sourced by bash. Needs a Debian 12 or later, an Ubuntu 24.04 or later, or their kin.

set -euo pipefail
umask 022
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$ROOT"
export LC_ALL=C.UTF-8
unset PYTHONPATH PYTHONHOME VIRTUAL_ENV
# The processes of one test run must order sets alike; the next run orders them differently.
export PYTHONHASHSEED=${PYTHONHASHSEED:-$RANDOM}
CACHE=$ROOT/.cache
PYTHON=$ROOT/.venv/bin/python
HOST_PYTHON=/usr/bin/python3

RUN_PACKAGES="python3 python3-venv ca-certificates bubblewrap libseccomp2 iproute2
  e2fsprogs util-linux passwd"
TEST_PACKAGES="chromium postgresql nginx-light wrk git golang-github-containers-common"
# npm may come with a Node.js from elsewhere, which Debian's package would conflict with.
command -v npm >/dev/null || TEST_PACKAGES="$TEST_PACKAGES npm"

say() { printf '\033[1m==>\033[0m %s\n' "$*" >&2; }
fail() { printf 'Error: %s\n' "$*" >&2; exit 1; }

as_root() {
  if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi
}

can_become_root() {
  [ "$(id -u)" = 0 ] && return 0
  command -v sudo >/dev/null || return 1
  sudo -n true 2>/dev/null || { [ -t 0 ] && sudo -v; }
}

# Print those of the given packages that are not installed.
missing_packages() {
  command -v dpkg-query >/dev/null || { printf '%s\n' "$@"; return; }
  local package
  for package in "$@"; do
    [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" = installed ] ||
      printf '%s\n' "$package"
  done
}

# Print the system packages that the environment images are made of.
image_packages() {
  sed -n 's/^apt *= *\[\(.*\)\].*/\1/p' environments/*/environment.toml | tr -d '",'
}

# Install the given packages where they are missing; services they bring are not started.
install_packages() {
  local missing
  mapfile -t missing < <(missing_packages "$@")
  [ ${#missing[@]} -gt 0 ] || return 0
  command -v apt-get >/dev/null ||
    fail "this is no Debian or Ubuntu. Install the equivalents of: ${missing[*]}"
  can_become_root ||
    fail "system packages are missing. Ask an administrator to run:
  apt-get install --no-install-recommends ${missing[*]}"
  say "Installing ${#missing[@]} system packages (a minute or two): ${missing[*]}"
  local log=$CACHE/apt.log policy=/usr/sbin/policy-rc.d ours=
  mkdir -p "$CACHE"
  if [ ! -e "$policy" ]; then
    printf '#!/bin/sh\nexit 101\n' | as_root tee "$policy" >/dev/null
    as_root chmod 755 "$policy"
    ours=yes
  fi
  local done=yes
  {
    as_root apt-get update -q &&
      as_root env DEBIAN_FRONTEND=noninteractive apt-get install -q -y \
        --no-install-recommends -o Dpkg::Options::=--force-confold "${missing[@]}"
  } >"$log" 2>&1 </dev/null || done=
  [ -z "$ours" ] || as_root rm -f "$policy"
  [ -n "$done" ] || { tail -n 15 "$log" >&2; fail "the packages could not be installed; see $log"; }
}

check_python() {
  [ -x "$HOST_PYTHON" ] || fail "$HOST_PYTHON is missing: install the package python3"
  "$HOST_PYTHON" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
    fail "$HOST_PYTHON is older than 3.11. Debian 12, Ubuntu 24.04 or later is needed."
}

# Make .venv, or repair it: venv run|dev
venv() {
  local kind=$1 stamp=$ROOT/.venv/.carrel-$1 want
  check_python
  want=$( { "$HOST_PYTHON" -V; echo "$ROOT"; cat pyproject.toml uv.lock; } | sha256sum)
  if [ -x "$PYTHON" ] && [ "$(cat "$stamp" 2>/dev/null)" = "$want" ]; then return 0; fi
  mkdir -p "$CACHE"
  exec 9>"$CACHE/venv.lock"
  flock 9
  if [ -d .venv ] && ! "$PYTHON" -c 'import sys; sys.exit(sys.prefix != sys.argv[1])' \
    "$ROOT/.venv" 2>/dev/null; then
    say "The .venv here is broken or from elsewhere: making it anew"
    rm -rf .venv
  fi
  say "Installing Carrel's Python packages into .venv (about a minute the first time)"
  if command -v uv >/dev/null; then
    venv_by_uv uv "$kind" || fail "uv could not make .venv; see above"
  else
    venv_by_pip "$kind" || fail "pip could not make .venv; see above"
  fi
  printf '%s\n' "$want" >"$stamp"
  [ "$kind" = run ] || printf '%s\n' "$want" >"$ROOT/.venv/.carrel-run"
  exec 9>&-
}

venv_by_uv() {
  local group=--no-dev
  [ "$2" = run ] || group=--dev
  UV_PYTHON_DOWNLOADS=never "$1" sync --quiet --frozen --inexact $group --python "$HOST_PYTHON"
}

# The versions of uv.lock, by plain pip.
venv_by_pip() {
  [ -x "$PYTHON" ] && "$PYTHON" -m pip --version >/dev/null 2>&1 ||
    "$HOST_PYTHON" -m venv --clear .venv || return
  "$HOST_PYTHON" scripts/lock_to_pip.py "$1" >"$CACHE/constraints.txt" 3>"$CACHE/extra.txt" || return
  "$PYTHON" -m pip install --quiet --disable-pip-version-check \
    --constraint "$CACHE/constraints.txt" --editable . -r "$CACHE/extra.txt"
}

# Build the environment images that are missing: images [--home DIR]
images() {
  local image
  for image in environments/*/; do
    "$PYTHON" -m carrel.runtime.environments "$@" "$(basename "$image")" >/dev/null ||
      fail "the environment image $(basename "$image") could not be built; see above"
  done
}

# The roles run as a user of their own, who must be able to read the code.
make_readable() {
  [ "$(id -u)" = 0 ] || return 0
  "$HOST_PYTHON" - src templates environments .venv/bin .venv/lib <<'END' ||
import os, sys
sys.exit(any(os.stat(p).st_mode & 5 != 5 for p in sys.argv[1:])
         or os.stat("src/carrel/__init__.py").st_mode & 4 == 0)
END
    chmod -R go+rX src templates environments .venv
}

# ACRO says what our disclosure checks should say. It needs an older pandas, so it lives apart.
acro_environment() {
  local version=1.0.2 folder=.cache/acro
  [ -f "$folder/.acro-$version" ] && return
  say "Installing ACRO $version, which our disclosure checks are held against"
  rm -rf "$folder"
  if command -v uv >/dev/null; then
    UV_PYTHON_DOWNLOADS=never uv venv --quiet --python "$HOST_PYTHON" "$folder" &&
      uv pip install --quiet --python "$folder/bin/python" "acro==$version"
  else
    "$HOST_PYTHON" -m venv "$folder" &&
      "$folder/bin/python" -m pip install --quiet --disable-pip-version-check "acro==$version"
  fi || fail "pip could not install ACRO $version"
  touch "$folder/.acro-$version"
}
