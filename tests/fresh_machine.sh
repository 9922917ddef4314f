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

# The address of Debian's packages that this machine uses.
package_mirror() {
  local mirror
  mirror=$(cat /etc/apt/sources.list /etc/apt/sources.list.d/*.{list,sources} 2>/dev/null |
    grep -oE '\b(https?|file)://[^ ]*/debian/?( |$)' | head -n 1)
  echo "${mirror:-http://deb.debian.org/debian}"
}

carry_over_package_sources() {
  local file
  rm -f "$root/etc/apt/sources.list"
  for file in /etc/apt/sources.list /etc/apt/sources.list.d/*; do
    if [[ -f $file ]] && grep -qE '/debian(-security)?/?( |$)' "$file"; then
      cp "$file" "$root$file"
    fi
  done
  for file in /etc/apt/apt.conf.d/*; do
    if grep -qi '^ *acquire::' "$file"; then
      cp "$file" "$root$file"
    fi
  done
  cp /etc/resolv.conf /etc/hosts "$root/etc/"
}

carry_over_pip_settings() {
  if [[ -f /etc/pip.conf ]]; then
    cp /etc/pip.conf "$root/etc/"
  fi
  if [[ -d ${PIP_FIND_LINKS:-} ]]; then
    mkdir -p "$root$PIP_FIND_LINKS"
    cp -r "$PIP_FIND_LINKS/." "$root$PIP_FIND_LINKS"
  fi
}

# What a program in the root may see of this environment.
environment=(PATH=/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8)
while IFS='=' read -r -d '' name value; do
  case $name in
    PIP_* | *_proxy | *_PROXY | SSL_CERT_FILE | REQUESTS_CA_BUNDLE | CURL_CA_BUNDLE)
      environment+=("$name=$value")
      ;;
  esac
done < <(env -0)

# inside [--no-network] USER COMMAND...: runs it in the root, in the project's folder.
inside() {
  local namespaces=(--mount --pid --fork --kill-child) user
  if [[ $1 == --no-network ]]; then
    namespaces+=(--net)
    shift
  fi
  user=$1
  shift
  # shellcheck disable=SC2016  # for the inner shell
  unshare "${namespaces[@]}" bash -euc '
    root=$1 tree=$2 user=$3; shift 3
    mount -t proc proc "$root/proc"
    mount --rbind /dev "$root/dev"
    mount -t tmpfs tmpfs "$root/dev/shm"
    ip link set lo up 2>/dev/null || true
    exec chroot "$root" setpriv --reuid "$user" --regid "$user" --clear-groups \
      bash -euc '\''cd "$1"; shift; exec "$@"'\'' - "$tree" "$@"
  ' - "$root" "$tree" "$user" env -i "${environment[@]}" HOME="/home/$user" USER="$user" "$@"
}

if $with_tests; then expect_steps 7; else expect_steps 6; fi
step "A bare Debian 12 in $root"
run debootstrap --variant=minbase bookworm "$root" "$(package_mirror)" >"$root.log" 2>&1 ||
  { tail -n 20 "$root.log"; exit 1; }
rm -f "$root.log"
carry_over_package_sources
carry_over_pip_settings
chroot "$root" useradd --create-home user
git clone --quiet --no-hardlinks . "$root$tree"
mkdir -p "$root/home/root"

step "Debian packages"
# shellcheck disable=SC2016  # for the inner shell
inside root bash -c 'for part in common packages; do source "launch/setup/$part.sh"; done
  ensure_packages build data'
if [[ -f /etc/ssl/certs/ca-certificates.crt ]]; then
  cp -L /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/"
fi

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
