#!/usr/bin/env bash
# The steps of both container recipes, on a bare Debian 12, as root:
#
#   cluster/containers/steps.sh build OUT       builds Thaw from this copy of the project; OUT gets the
#                                               .deb and what the other step needs
#   OUT/steps.sh install OUT                    installs that, LibTorch and what prepare.py needs
#
# Options of the environment:
#   THAW_CONTAINER_CUDA=1   for GPUs: builds with --cuda, installs LibTorch with all of CUDA that it loads
#   THAW_CONTAINER_TORCH    the environment of LibTorch and prepare.py (default: /srv/thaw)
#
# Both use the network: Debian's packages and PyPI's.
set -euo pipefail
here=$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")
environment=${THAW_CONTAINER_TORCH:-/srv/thaw}

install_packages() {
  apt-get -qq -o Acquire::Retries=3 update
  DEBIAN_FRONTEND=noninteractive apt-get -qq -y -o Dpkg::Use-Pty=0 install --no-install-recommends "$@"
}

# The project is copied first: a build folder or an environment of the host's has other paths in it.
build() {
  local out source options=()
  out=$(realpath -m "$1")
  source=$(mktemp -d)
  mkdir -p "$out"
  cp -a "$here"/../../{CMakeLists.txt,CMakePresets.json,LICENSE,README.md} \
    "$here"/../../{cluster,configs,core,dist,include,launch,tests} "$source"
  [[ ${THAW_CONTAINER_CUDA:-} != 1 ]] || options=(--cuda)
  install_packages dpkg-dev file xz-utils
  "$source/launch/quickstart.sh" --build-only "${options[@]}"
  (cd "$source/build" && cpack -G DEB -B "$out")
  rm -rf "$out/_CPack_Packages"  # a second copy, which would come along into the image
  cp "$here/steps.sh" "$source/launch/setup/requirements.txt" "$out"
  rm -rf "$source"
}

install() {
  local out
  out=$(realpath "$1")
  install_packages python3-venv ca-certificates "$out"/thaw_*.deb
  python3 -m venv "$environment"
  if [[ ${THAW_CONTAINER_CUDA:-} == 1 ]]; then
    "$environment/bin/pip" install --no-cache-dir "$(grep '^torch==' "$out/requirements.txt")"
  fi
  "$environment/bin/pip" install --no-cache-dir --no-deps -r "$out/requirements.txt"
  THAW_TORCH=$environment thaw --version
  rm -rf /var/lib/apt/lists/*
}

case ${1:-} in
  build | install)
    (($# == 2)) || { echo "usage: steps.sh build|install OUT" >&2; exit 2; }
    "$1" "$2"
    ;;
  *) sed -n '2,/^set -euo/{/^set -euo/d;s/^# \{0,1\}//;p}' "${BASH_SOURCE[0]}" ;;
esac
