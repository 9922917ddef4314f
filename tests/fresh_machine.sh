#!/usr/bin/env bash
# Proves set-up on a fresh machine: in a bare Debian 12 root made with debootstrap, the quick start
# runs from nothing, then again without a network, then as an ordinary user.
#
#   tests/fresh_machine.sh [--folder DIR] [--keep] [--tests] [--cuda]
#
#   --folder DIR  where the root is made (default: a temporary folder; takes 5 GB, 10 with --cuda)
#   --keep        leave it there
#   --tests       run tests/run.sh in it too
#   --cuda        all with --cuda: no toolkit and no GPU is there, so it must build for GPUs, train
#                 on the CPU, and say why
#
# What is committed is what is proved. Needs root and debootstrap. The root takes over how this
# machine reaches packages: its package sources, pip settings, name resolution, proxies and, once
# Debian's certificates are installed, its certificate bundle.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=/dev/null
source launch/setup/common.sh

root=
keep=false
with_tests=false
options=()
while (($# > 0)); do
  case $1 in
    --folder)
      root=$(absolute "$2" .)
      shift
      ;;
    --keep) keep=true ;;
    --tests) with_tests=true ;;
    --cuda) options=(--cuda) ;;
    -h | --help)
      usage "${BASH_SOURCE[0]}"
      exit
      ;;
    *) fail "unknown option $1" ;;
  esac
  shift
done
if ((EUID != 0)) || ! command -v debootstrap >/dev/null; then
  echo "SKIPPED: needs root and debootstrap (on Debian: apt-get install debootstrap)"
  exit 77
fi
if [[ -z $root ]]; then
  root=$(mktemp -d)
fi
tree=/srv/thaw

clean_up() {
  finish_step
  if ! $keep; then
    rm -rf --one-file-system "$root"
  fi
}
trap clean_up EXIT

# shellcheck source=/dev/null
source tests/setup/bare_root.sh

if $with_tests; then expect_steps 7; else expect_steps 6; fi
step "A bare Debian 12 in $root"
make_bare_root
git clone --quiet --no-hardlinks . "$root$tree"

step "Debian packages"
# shellcheck disable=SC2016  # for the inner shell
inside root bash -c 'for part in common packages; do source "launch/setup/$part.sh"; done
  ensure_packages build data'
carry_over_certificates

step "The quick start, as root"
inside root launch/quickstart.sh "${options[@]}" 2>&1 | tee "$root/quickstart.log"
if ((${#options[@]} > 0)); then
  inside root build/thaw --version | grep -F 'CUDA yes' || fail "thaw was built without CUDA"
  grep -F "computing on the CPU: NVIDIA's driver is not installed" "$root/quickstart.log" ||
    fail "the quick start did not say why it trained on the CPU"
fi

step "Again, without a network: nothing is done twice"
before=$(stat -c %Y "$root$tree"/{build/thaw,data/*.h5,runs/quickstart/summary.json})
inside --no-network root launch/quickstart.sh --offline "${options[@]}"
after=$(stat -c %Y "$root$tree"/{build/thaw,data/*.h5,runs/quickstart/summary.json})
[[ $before == "$after" ]] || fail "the second run made something again"

step "As an ordinary user without a network, trained anew"
chroot "$root" chown -R user:user "$tree"
mv "$root$tree/runs" "$root$tree/runs-of-root"
inside --no-network user launch/quickstart.sh --offline --ranks 3 "${options[@]}"

if $with_tests; then
  step "All tests, as root"
  inside root tests/run.sh "${options[@]}"
fi
step "The fresh machine works"
