# shellcheck shell=bash disable=SC2154  # root and tree are set by who sources it
# A bare Debian 12 in a folder, to try set-up and packages in: sourced, with `root` (the folder) and
# `tree` (the working folder inside it) set. Needs root and debootstrap.
#
# It takes over how this machine reaches packages: its package sources, pip settings, name resolution,
# proxies and, once Debian's certificates are installed, its certificate bundle.

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

# make_bare_root: Debian's smallest system, with an ordinary user `user`.
make_bare_root() {
  debootstrap --variant=minbase bookworm "$root" "$(package_mirror)" >"$root.log" 2>&1 ||
    { tail -n 20 "$root.log"; exit 1; }
  rm -f "$root.log"
  carry_over_package_sources
  carry_over_pip_settings
  chroot "$root" useradd --create-home user
  mkdir -p "$root/home/root" "$root$tree"
}

# carry_over_certificates: for who has installed Debian's package ca-certificates in it.
carry_over_certificates() {
  if [[ -f /etc/ssl/certs/ca-certificates.crt ]]; then
    cp -L /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/"
  fi
}
