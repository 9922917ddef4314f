#!/usr/bin/env bash
# Thaw builds without root and without a network where its dependencies are only given: each one
# unpacked from its Debian packages into a root of its own and named with -D<Name>_ROOT, the
# machine's own ones hidden, in an empty network namespace.
#
#   tests/setup/offline_build.sh [TARGET...]        (default: thaw)
#
# Needs apt-get to fetch the packages (no root), user namespaces, and LibTorch in .venv or THAW_TORCH.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
# shellcheck source=/dev/null
source launch/setup/common.sh

targets=("${@:-thaw}")
torch=${THAW_TORCH:-$PWD/.venv}
architecture=$(gcc -print-multiarch)
if ! unshare -rnm true 2>/dev/null || ! command -v apt-get >/dev/null || ! command -v ip >/dev/null; then
  echo "SKIPPED: needs apt-get, ip and user namespaces (unshare -rn)"
  exit 77
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# Name that CMake knows -> Debian packages. Their own libraries (hwloc, zlib, ...) stay the machine's.
declare -A packages=(
  [MPI]="libopenmpi-dev libopenmpi3 openmpi-bin openmpi-common"
  [HDF5]="libhdf5-dev libhdf5-103-1"
  [Boost]="libboost1.74-dev libboost-program-options1.74-dev libboost-program-options1.74.0"
  [fmt]="libfmt-dev libfmt9"
  [nlohmann_json]="nlohmann-json3-dev"
  [tomlplusplus]="libtomlplusplus-dev"
  [xxHash]="libxxhash-dev"
)

unpack_all() {
  local name package
  for name in "${!packages[@]}"; do
    mkdir -p "$work/$name/debs"
    # shellcheck disable=SC2086  # a list of words
    (cd "$work/$name/debs" && apt-get -qq download ${packages[$name]} 2>/dev/null)
    for package in "$work/$name"/debs/*.deb; do
      dpkg-deb -x "$package" "$work/$name"
    done
  done
  # What Debian's alternatives would link.
  for name in mpicc mpicxx mpirun mpiexec; do
    ln -s "$name.openmpi" "$work/MPI/usr/bin/$name"
  done
}

# Names in FOLDER of this machine that belong to these packages, one a line.
names_to_hide() {
  local name package
  for name in "${!packages[@]}"; do
    for package in ${packages[$name]}; do
      case $package in
        *-dev) dpkg -L "$package" 2>/dev/null || true ;;
      esac
    done
  done | sed -n "s|^$1/\\([^/]*\\).*|\\1|p" | sort -u | grep -vx "$architecture" || true
  printf '%s\n' cmake pkgconfig openmpi
}

# Makes $work/view/FOLDER: links to all that is in FOLDER but what is to be hidden. The folder
# itself will be at $work/real/FOLDER.
make_view() {
  mkdir -p "$work/view$1" "$work/real$1"
  names_to_hide "$1" >"$work/names"
  find "$1" -mindepth 1 -maxdepth 1 -printf '%f\n' | grep -vxFf "$work/names" |
    sed "s|^|$work/real$1/|" | xargs -d '\n' ln -s -t "$work/view$1"
}

roots=()
for name in "${!packages[@]}"; do
  roots+=("-D${name}_ROOT=$work/$name/usr")
done
libraries=$work/MPI/usr/lib/$architecture:$work/fmt/usr/lib/$architecture

expect_steps 4
step "Dependencies, each in a root of its own"
unpack_all
mkdir "$work/empty"
views=(/usr/include "/usr/lib/$architecture")
for folder in "${views[@]}"; do
  make_view "$folder"
done

# hidden COMMAND...: runs it without network, root, and the machine's own dependencies.
hidden() {
  # shellcheck disable=SC2016  # for the inner shell
  unshare -rnm bash -euc '
    work=$1; shift
    ip link set lo up  # Open MPI complains of a machine without even that
    for folder in /usr/share/cmake /usr/lib/cmake /usr/share/pkgconfig /usr/lib/pkgconfig; do
      if [[ -d $folder ]]; then mount --bind "$work/empty" "$folder"; fi
    done
    for program in /usr/bin/opal_wrapper /usr/bin/orterun; do  # what mpicxx and mpirun are
      if [[ -e $program ]]; then mount --bind /dev/null "$program"; fi
    done
    while [[ $1 != -- ]]; do
      mount --rbind "$1" "$work/real$1"
      mount --rbind "$work/view$1" "$1"
      shift
    done
    shift
    exec "$@"
  ' - "$work" "${views[@]}" -- "$@"
}

step "Without them: one message that names all"
if hidden cmake -S . -B "$work/build" -DTHAW_TORCH="$torch" -DTHAW_CUDA=OFF -DTHAW_BUILD_TESTS=OFF \
  >"$work/log" 2>&1; then
  fail "configured although everything should be hidden"
fi
for package in libopenmpi-dev libhdf5-dev libboost-program-options-dev libfmt-dev \
  nlohmann-json3-dev libtomlplusplus-dev libxxhash-dev; do
  grep -q "$package" "$work/log" || { cat "$work/log"; fail "$package is not named"; }
done
rm -rf "$work/build"

step "With -D<Name>_ROOT"
# OPAL_PREFIX tells an Open MPI that was moved where it is.
run hidden env OPAL_PREFIX="$work/MPI/usr" LD_LIBRARY_PATH="$libraries" \
  cmake -S . -B "$work/build" -G Ninja -DCMAKE_BUILD_TYPE=Release -DTHAW_TORCH="$torch" \
  -DTHAW_CUDA=OFF -DTHAW_BUILD_TESTS=OFF "${roots[@]}"
run hidden env OPAL_PREFIX="$work/MPI/usr" LD_LIBRARY_PATH="$libraries" \
  cmake --build "$work/build" --parallel "$(build_jobs)" --target "${targets[@]}"

step "Every dependency came from its root"
for name in "${!packages[@]}"; do
  grep -qF -- "$work/$name/usr" "$work/build/build.ninja" || fail "$name did not come from its root"
done
if [[ -x $work/build/thaw ]]; then
  run hidden env OPAL_PREFIX="$work/MPI/usr" LD_LIBRARY_PATH="$libraries" "$work/build/thaw" --version
fi
finish_step
