#!/usr/bin/env bash
# Proves the .deb, and the containers' steps with it, on a bare Debian 12: the package of a build is
# installed there with apt, LibTorch's wheel with pip, as cluster/containers/steps.sh does it, and an
# ordinary user prepares data, trains on two ranks, evaluates and exports without a network.
#
#   tests/setup/package_machine.sh [--build DIR] [--folder DIR] [--keep] [--whole]
#
#   --build DIR   of the command that is packaged (default: build)
#   --folder DIR  where the root is made (default: a temporary folder; takes 3 GB, 6 with --whole, and
#                 5 more where the build is one for GPUs)
#   --keep        leave it there
#   --whole       the containers' first step too: builds Thaw in the root, and takes that package
#
# Needs root, debootstrap and dpkg-dev.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
# shellcheck source=/dev/null
source launch/setup/common.sh

build=build
root=
keep=false
whole=false
while (($# > 0)); do
  case $1 in
    --build) build=$(absolute "$2" .); shift ;;
    --folder) root=$(absolute "$2" .); shift ;;
    --keep) keep=true ;;
    --whole) whole=true ;;
    -h | --help) usage "${BASH_SOURCE[0]}"; exit ;;
    *) fail "unknown option $1" ;;
  esac
  shift
done
for program in debootstrap dpkg-shlibdeps cpack; do
  if ((EUID != 0)) || ! command -v "$program" >/dev/null; then
    echo "SKIPPED: needs root, debootstrap, dpkg-dev and cpack (on Debian: apt-get install debootstrap dpkg-dev cmake)"
    exit 77
  fi
done
root=${root:-$(mktemp -d)}
tree=/srv/work
clean_up() {
  finish_step
  $keep || rm -rf --one-file-system "$root"
}
trap clean_up EXIT
# shellcheck source=/dev/null
source tests/setup/bare_root.sh

expect_steps 5
step "A bare Debian 12 in $root"
make_bare_root
mkdir -p "$root/out"
# pip reaches PyPI by this machine's certificates, as it does here: in the build too.
inside root bash -c 'export DEBIAN_FRONTEND=noninteractive
  apt-get -qq -o Acquire::Retries=3 update && apt-get -qq -y install ca-certificates >/dev/null'
carry_over_certificates
cuda=0  # whether LibTorch is to be installed with all of CUDA, as a build for GPUs needs it
if ! $whole && "$build/thaw" --version | grep -F 'CUDA yes' >/dev/null; then cuda=1; fi
if $whole; then
  step "The package, built there"
  git clone --quiet --no-hardlinks . "$root/src"
  inside root /src/cluster/containers/steps.sh build /out
else
  step "The package of $build"
  run cpack --config "$build/CPackConfig.cmake" -G DEB -B "$root/out" >/dev/null
  cp cluster/containers/steps.sh launch/setup/requirements.txt "$root/out"
fi
dpkg-deb --info "$root"/out/thaw_*.deb | sed -n '/^ Package/,$p'

step "apt install, and LibTorch's wheel"
inside root env THAW_CONTAINER_CUDA=$cuda /out/steps.sh install /out

step "What is missing is said"
status=0
inside user thaw --version >"$root/said" 2>&1 || status=$?
[[ $status == 2 ]] || fail "without LibTorch thaw ended with $status"
grep -F 'pip install' "$root/said" || fail "it does not say where LibTorch comes from"

step "An ordinary user, without a network"
cat >"$root$tree/run.sh" <<'END'
set -euo pipefail
export THAW_TORCH=/srv/thaw THAW_PYTHON=/srv/thaw/bin/python3 OMPI_MCA_rmaps_base_oversubscribe=1
prefix=/usr
thaw --version
"$THAW_PYTHON" - <<'PYTHON'
import numpy as np
from PIL import Image
images = np.random.default_rng(0).integers(0, 80, (48, 16, 16, 3))
labels = np.arange(48) % 3
images = (images + 50 * labels[:, None, None, None]).astype(np.uint8)
np.savez("data.npz", x=images, y=labels)
Image.fromarray(images[0]).save("one.png")
PYTHON
"$THAW_PYTHON" "$prefix/share/thaw/launch/prepare.py" images --train data.npz:x,y \
  --validation data.npz:x,y --mean 0.5,0.5,0.5 --std 0.25,0.25,0.25 --output data.h5
cat >run.toml <<'TOML'
[model]
architecture = "resnet-cifar"
depth = 20
weights = ""
[data]
file = "data.h5"
batch = 12
[train]
optimizer = "sgd"
[schedule]
preset = "top-down"
learning-rate = 0.05
stage-epochs = 1
TOML
thaw launch -n 2 -- train run.toml --run-dir run
thaw evaluate run --split validation
thaw predict run --images one.png | grep -F '"file":"one.png"'
thaw export run --format safetensors exported.safetensors
thaw report run
test -s exported.safetensors -a -s run/report.html
thaw completion bash | bash -n
END
chroot "$root" chown -R user:user "$tree"
inside --no-network user bash run.sh
[[ -s $root/usr/share/man/man1/thaw.1 ]] || fail "the manual's page is not there"
[[ -s $root/usr/share/bash-completion/completions/thaw ]] || fail "bash's completion is not there"
say "the package works"
