# shellcheck shell=bash
# Debian packages, from launch/setup/packages.txt.

# packages_for PURPOSE...: names, one a line.
packages_for() {
  local purpose
  for purpose in "$@"; do
    awk -v purpose="$purpose" '$1 == purpose { print $2 }' launch/setup/packages.txt
  done
}

package_is_installed() {
  [[ $(dpkg-query -W -f='${db:Status-Status}' "$1" 2>/dev/null) == installed ]]
}

# ensure_packages PURPOSE...: installs what is missing, if it may. Otherwise it lists that and goes
# on: the dependencies may have come in another way, and whatever step needs one will say so.
ensure_packages() {
  local package missing=() as_root=()
  if ! command -v dpkg-query >/dev/null; then
    say "not a Debian system: the configuration below tells if anything is missing"
    return
  fi
  while read -r package; do
    package_is_installed "$package" || missing+=("$package")
  done < <(packages_for "$@")
  if ((${#missing[@]} == 0)); then
    say "all installed"
    return
  fi
  if ((EUID != 0)); then
    as_root=(sudo -n)
  fi
  if offline; then
    say "missing, and this run is offline: ${missing[*]}"
  elif ((EUID != 0)) && ! sudo -n true 2>/dev/null; then
    say "missing, and installing takes root: ${missing[*]}"
    say "as root: apt-get install ${missing[*]}"
  else
    run "${as_root[@]}" apt-get -qq -o DPkg::Lock::Timeout=300 -o Acquire::Retries=3 update
    run "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
      apt-get -qq -y -o DPkg::Lock::Timeout=300 -o Acquire::Retries=3 -o Dpkg::Use-Pty=0 \
      install --no-install-recommends "${missing[@]}"
    return
  fi
  say "going on without them"
}
