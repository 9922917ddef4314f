# shellcheck shell=bash
# Debian packages, from launch/setup/packages.txt.

# packages_for PURPOSE...: names, one a line.
packages_for() {
  local purpose
  for purpose in "$@"; do
    awk -v purpose="$purpose" '$1 == purpose { print $2 }' launch/setup/packages.txt
  done
}

# An optional one that this system's package sources do not have, as far as they were read.
package_is_nowhere() {
  local candidate
  awk -v package="$1" '$2 == package && $3 == "optional" { found = 1 } END { exit !found }' \
    launch/setup/packages.txt || return 1
  candidate=$(apt-cache policy "$1" 2>/dev/null | awk '$1 == "Candidate:" { print $2 }')
  [[ -z $candidate || $candidate == "(none)" ]]
}

any_is_somewhere() {
  local package
  for package in "$@"; do
    package_is_nowhere "$package" || return 0
  done
  return 1
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
  if ! any_is_somewhere "${missing[@]}"; then
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
    local all=("${missing[@]}")
    missing=()
    for package in "${all[@]}"; do
      package_is_nowhere "$package" || missing+=("$package")
    done
    run "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
      apt-get -qq -y -o DPkg::Lock::Timeout=300 -o Acquire::Retries=3 -o Dpkg::Use-Pty=0 \
      install --no-install-recommends "${missing[@]}"
    return
  fi
  say "going on without them"
}
