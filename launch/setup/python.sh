# shellcheck shell=bash
# The project's virtual environment .venv: LibTorch and what launch/prepare.py needs.

# A Python that can make virtual environments, or nothing.
find_python() {
  local python
  for python in python3 /usr/bin/python3; do
    if "$python" -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null
    then
      command -v "$python"
      return
    fi
  done
}

ensure_environment() {
  local python
  if .venv/bin/python -m pip --version >/dev/null 2>&1; then
    return
  fi
  python=$(find_python)
  if [[ -z $python ]]; then
    fail "no Python 3.11 or newer that can make a virtual environment" \
      "on Debian: apt-get install python3-venv"
  fi
  run "$python" -m venv --clear .venv
}

# ensure_python [--no-torch] [--language] [--tests]: everything in launch/setup/requirements.txt, in
# language.txt and in tests.txt, is in .venv, whole.
ensure_python() {
  local wanted left_out='^$' lists=(launch/setup/requirements.txt) missing=()
  ensure_environment
  while (($# > 0)); do
    case $1 in
      --no-torch) left_out='^(torch|nvidia-)' ;;
      --language) lists+=(launch/setup/language.txt) ;;
      --tests) lists+=(launch/setup/tests.txt) ;;
    esac
    shift
  done
  wanted=$(mktemp)
  cat "${lists[@]}" | grep -vE "$left_out" >"$wanted"
  mapfile -t missing < <(.venv/bin/python launch/setup/check_requirements.py "$wanted")
  rm -f "$wanted"
  if ((${#missing[@]} == 0)); then
    say "all installed in .venv"
  elif offline; then
    fail "missing in .venv, and this run is offline: ${missing[*]}" \
      "run once with the network, or give an existing LibTorch with --libtorch DIR"
  else
    # Forced, so that what broke off half-way is replaced too.
    run .venv/bin/python -m pip install --quiet --no-deps --force-reinstall --only-binary :all: \
      "${missing[@]}"
  fi
}
