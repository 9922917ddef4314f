#!/usr/bin/env bash
# The device kit in full on the null GPU, as on another machine: packed, unpacked, and run where this
# system's Open MPI, HDF5, Boost and all else that the bundle brings are hidden, the build too.
#
#   tests/cluster/device_rehearsal.sh [--build DIR] [--only PART[,PART…]]
#
#   --build DIR  with CUDA and the targets thaw, thaw_hdf5_probe, device_programs, null_gpu (default: build)
#
# Needs root (for a mount namespace) and, on first use, the network: LibTorch's wheel is installed without
# the pure Python packages that `import torch` takes. THAW_DEVICE_PYTHON names a Python that has them.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
root=$PWD
# shellcheck source=/dev/null
source launch/setup/common.sh

skip() {
  echo "SKIPPED: $1"
  exit 77
}

build=$root/build
only=()
while (($# > 0)); do
  case $1 in
    --build) build=$(absolute "${2:?--build needs a folder}" "$root") && shift ;;
    --only) only=(--only "${2:?--only needs parts}") && shift ;;
    -h | --help)
      usage "${BASH_SOURCE[0]}"
      exit
      ;;
    *) fail "unknown option $1" ;;
  esac
  shift
done
((EUID == 0)) || skip "needs root, for a mount namespace"
unshare -m true 2>/dev/null || skip "this system makes no mount namespace"
null_gpu=$build/tests/null_gpu/libcuda.so.1
[[ -e $null_gpu ]] || skip "$null_gpu: not there (a build that links CUDA has it)"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python=${THAW_DEVICE_PYTHON:-}
if [[ -z $python ]]; then
  .venv/bin/python -m pip install --quiet --no-deps --target "$work/site" \
    typing_extensions sympy mpmath networkx filelock fsspec jinja2 MarkupSafe setuptools ||
    skip "the packages that torch imports cannot be installed"
  python=$work/python
  # shellcheck disable=SC2016  # the script's own variables
  printf '#!/bin/sh\nexport PYTHONPATH="%s:$PYTHONPATH"\nexec "%s" "$@"\n' \
    "$work/site" "$root/.venv/bin/python" >"$python"
  chmod +x "$python"
fi
"$python" -c 'import torch, sys; sys.exit(torch.version.cuda is None)' ||
  skip "$python has no torch for CUDA"

cluster/device/pack.sh --build "$build" --output "$work/bundle.tar.xz"
tar -C "$work" -xf "$work/bundle.tar.xz"
cp -L "$null_gpu" "$work/libcuda.so.1"

# What the bundle brings and this system's own programs and Python do without.
standard=$("$python" -c 'import _ctypes, os; print(os.path.dirname(_ctypes.__file__))')
torch=$("$python" -c 'import torch; print(torch.__path__[0])')
mapfile -t kept < <(printf '%s\n' "$("$python" -c 'import sys; print(sys.executable)')" /bin/bash \
  /usr/bin/{env,dirname} "$standard"/*.so "$torch"/lib/*.so | xargs -n 1 ldd 2>/dev/null |
  awk '$2 == "=>" { print $1 }' | sort -u)
hidden=()
known=$(PATH=$PATH:/sbin:/usr/sbin ldconfig -p)
for library in "$work"/thaw-device/lib/*.so*; do
  name=${library##*/}
  path=$(awk -v name="$name" '$1 == name && !found { found = 1; print $NF }' <<<"$known")
  [[ -z $path || " ${kept[*]} " == *" $name "* ]] || hidden+=("$(readlink -f "$path")")
done
for program in orterun orted mpirun ompi_info; do
  hidden+=("$(readlink -f "$(command -v "$program")")")
done
for needed in libmpi.so libhdf5 libboost_program_options libopen-rte; do
  [[ " ${hidden[*]} " == *"/$needed"* ]] || fail "$needed is not hidden: the rehearsal shows nothing"
done
components=$(ompi_info --parsable --path pkglibdir | cut -d: -f3)
messages=$(ompi_info --parsable --path pkgdatadir | cut -d: -f3)

# In the namespace, an empty file stands in each hidden one's place, which no loader takes.
cat >"$work/inside.sh" <<'INSIDE'
set -euo pipefail
empty=$1 components=$2 messages=$3 build=$4
shift 4
mount -t tmpfs none "$components"
mount -t tmpfs none "$messages"
mount -t tmpfs none "$build"
while read -r path; do mount --bind "$empty" "$path"; done
exec "$@" </dev/null
INSIDE
: >"$work/empty"
status=0
printf '%s\n' "${hidden[@]}" | sort -u | env PYTHON="$python" unshare -m bash "$work/inside.sh" \
  "$work/empty" "$components" "$messages" "$build" \
  "$work/thaw-device/run.sh" --null-gpu "$work/libcuda.so.1" --slower 3 --output "$work/report" "${only[@]}" ||
  status=$?
cat "$work/report/report.md"
((status == 0)) || fail "run.sh ended with status $status"
# Skipped is what compares numbers or takes times, and nothing else.
"$python" - "$work/report/report.json" <<'CHECK'
import json
import sys

with open(sys.argv[1], encoding="utf-8") as stream:
    parts = json.load(stream)["parts"]
found = [finding for part in parts.values() for finding in part["findings"]]
skipped = [finding for finding in found if finding["state"] == "skipped"]
unexplained = [f for f in skipped if "null GPU" not in f["detail"]]
assert not unexplained, unexplained
passed = [finding["name"] for finding in found if finding["state"] == "passed"]
assert len(parts) < 8 or len(passed) >= 35, passed
print(f"{len(passed)} findings passed, {len(skipped)} compare numbers or times")
CHECK
