#!/usr/bin/env bash
# Makes the bundle that run.sh checks and measures Thaw's GPU part with, on another machine.
#
#   cluster/device/pack.sh [--build DIR] [--output FILE] [--data DIR] [--sources] [--limit MIB]
#
#   --build DIR    a build with CUDA and the targets thaw, device_programs (default: build)
#   --output FILE  default: runs/device/thaw-device.tar.xz
#   --data DIR     what pack_data.py made before (default: made anew)
#   --sources      the project's sources too, for who wants to build there
#   --limit MIB    a larger bundle is an error (default: 40, with --sources 64)
#
# In it: the programs, those shared libraries of this system that they load, Open MPI's components and
# launcher, data, and run.sh. Not in it: glibc and its loader, LibTorch and NVIDIA's libraries. The other
# machine has glibc of this one's version or newer (it is told which), and a python3 with torch 2.11 for
# CUDA 13. Needs .venv (numpy, h5py, tokenizers) and data/minilm here; no network.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
# shellcheck source=/dev/null
source "$root/launch/setup/common.sh"

build=$root/build
output=$root/runs/device/thaw-device.tar.xz
data=
sources=false
limit=
while (($# > 0)); do
  case $1 in
    --build) build=$(absolute "${2:?--build needs a folder}" "$PWD") && shift ;;
    --output) output=$(absolute "${2:?--output needs a file}" "$PWD") && shift ;;
    --data) data=$(absolute "${2:?--data needs a folder}" "$PWD") && shift ;;
    --limit)
      limit=${2:-}
      [[ $limit =~ ^[0-9]+$ ]] || fail "--limit needs a number of MiB, not \"$limit\""
      shift
      ;;
    --sources) sources=true ;;
    -h | --help)
      usage "${BASH_SOURCE[0]}"
      exit
      ;;
    *) fail "unknown option $1" "see cluster/device/pack.sh --help" ;;
  esac
  shift
done
[[ -n $limit ]] || { $sources && limit=64 || limit=40; }

programs=("$build/thaw" "$build/thaw-hdf5-probe" "$build/tests/test_core_kernels"
  "$build/tests/test_dist_communicator" "$build/tests/dist/communicator/test_dist_mpi")
counts=$build/cluster/device/libthaw_device_counts.so
python=$root/.venv/bin/python

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
bundle=$work/thaw-device
mkdir -p "$bundle"/{bin,lib,mpi/bin,mpi/lib/openmpi3,mpi/share}

for program in "${programs[@]}"; do
  [[ -x $program ]] || fail "$program: not there" \
    "cmake --build $build --target thaw thaw_hdf5_probe device_programs"
  cp "$program" "$bundle/bin/"
done
[[ ! -e $counts ]] || cp "$counts" "$bundle/lib/"

# Open MPI looks for its components, launcher and messages in places that the environment names.
launcher=$(readlink -f "$(command -v orterun)") || fail "no orterun: Open MPI 4 is needed"
cp "$launcher" "$bundle/bin/mpirun"
cp "$(readlink -f "$(command -v orted)")" "$bundle/mpi/bin/orted"
components=$(ompi_info --parsable --path pkglibdir | cut -d: -f3)
# Fabrics and schedulers that a single machine has not, with libraries of many megabytes.
for component in "$components"/mca_*.so; do
  case ${component##*/} in
    *ucx* | *ofi* | *psm* | *openib* | *slurm* | *flux* | *gridengine* | *romio* | *scoll* | *sshmem* | *memheap*) ;;
    *) cp "$component" "$bundle/mpi/lib/openmpi3/" ;;
  esac
done
cp "$(ompi_info --parsable --path pkgdatadir | cut -d: -f3)"/help-*.txt "$bundle/mpi/share/"
pmix=$(ldd "$bundle/mpi/lib/openmpi3"/mca_pmix_ext*.so | awk '/libpmix/ { print $3; exit }')
if [[ -n $pmix ]]; then  # PMIx of its own, as Debian has it: its components too
  mkdir -p "$bundle/mpi/lib/pmix"
  cp "$(dirname "$(readlink -f "$pmix")")"/pmix/pmix_mca_*.so "$bundle/mpi/lib/pmix/"
  rm -f "$bundle/mpi/lib/pmix"/*slurm*
fi

# Note [What a bundle leaves out]
# glibc belongs to the kernel's side of the other machine and to its loader: one of another version
# than the loader does not start. LibTorch and CUDA's libraries are gigabytes, and the Python there
# has them. All else that ldd finds comes along, as the other machine has none of it.
left_out='^(ld-linux.*|lib(c|m|pthread|dl|rt|util|resolv|anl|mvec|nsl|crypt)\.so.*|libtorch.*|libc10.*'
left_out+='|libgomp\.so.*|libcu(da|blas|dnn|fft|file|pti|rand|solver|sparse).*|libnccl.*|libnv.*|libshm.*)$'
find "$bundle" -type f \( -path '*/bin/*' -o -name '*.so*' \) -print0 | xargs -0 -n 1 ldd 2>/dev/null |
  awk '$2 == "=>" && $3 ~ /^\// { print $1, $3 }' | sort -u |
  while read -r name path; do
    [[ $name =~ $left_out || $path == */site-packages/* ]] || cp -L "$path" "$bundle/lib/$name"
  done
find "$bundle" -type f \( -path '*/bin/*' -o -name '*.so*' \) -exec strip --strip-unneeded {} +

cp "$here/run.sh" "$bundle/"
mkdir "$bundle/python"
cp -r "$here"/{kit,checks,timing,networks} "$root/cluster/benchmarks/measuring" "$bundle/python/"
mkdir "$bundle/python/peers"
cp "$root/cluster/benchmarks/peers/"{__init__,freezing}.py "$bundle/python/peers/"
find "$bundle/python" -name __pycache__ -prune -exec rm -rf {} +
if [[ -n $data ]]; then
  cp -r "$data" "$bundle/data"
else
  "$python" "$here/pack_data.py" "$bundle/data"
fi
glibc=$(ldd --version | sed -n '1s/.* //p')
revision=$(git -C "$root" describe --always --dirty 2>/dev/null || echo unknown)
printf '{"revision": "%s", "packed": "%s", "glibc": "%s"}\n' "$revision" "$(date -u +%FT%TZ)" \
  "$glibc" >"$bundle/bundle.json"
if $sources; then
  mkdir "$bundle/sources"
  git -C "$root" ls-files -z | tar -C "$root" --null --files-from - -cf - | tar -C "$bundle/sources" -xf -
fi

mkdir -p "$(dirname "$output")"
tar -C "$work" --owner 0 --group 0 --sort name -cf - thaw-device | xz -T 0 -6 >"$output.partial"
size=$(stat -c %s "$output.partial")
if ((size > limit << 20)); then
  mv "$output.partial" "$output.too-large"
  fail "the bundle has $((size >> 10)) KiB, more than the $limit MiB that it may have" \
    "it is in $output.too-large; the largest files: $(du -ab "$bundle" | sort -rn | sed -n '3,8p' |
      sed "s|$bundle/||" | tr '\n' ';')"
fi
mv "$output.partial" "$output"
say "$output: $((size >> 10)) KiB; glibc $glibc or newer is needed"
