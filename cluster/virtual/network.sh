#!/usr/bin/env bash
# Hosts on one machine, as functions for slurm.sh and hosts.sh: each is a process with network, mount
# and UTS namespaces of its own, so that it has its own address, host name, /tmp and /dev/shm. They are
# joined by a bridge in a network namespace of its own, so that nothing here has a name that another
# such network, or the machine, could have too. Needs root and iproute2.
#
# Sourced, after setting:
#   virtual_name     what hosts are called, with a number behind it
#   virtual_network  the first three numbers of their addresses: "10.77.0"
#   virtual_folder   where state is kept; shared by all hosts
# shellcheck disable=SC2154  # those three

virtual_require_root() {
  if ((EUID != 0)); then
    echo "SKIPPED: hosts on one machine need root" >&2
    exit 77
  fi
  local tool
  for tool in ip nsenter unshare "$@"; do
    if ! command -v "$tool" >/dev/null; then
      echo "SKIPPED: $tool is missing" >&2
      exit 77
    fi
  done
  # In namespaces that are gone at once, so that nothing is left where only half of it works.
  # shellcheck disable=SC2016  # for the inner shell
  if ! unshare --net --mount --uts bash -euc 'ip link add probe-br type bridge
      ip link add probe-a type veth peer name probe-b; mount -t tmpfs tmpfs /mnt
      hostname "$(hostname)"' 2>/dev/null; then
    echo "SKIPPED: this machine allows no network namespaces, bridges or mounts" >&2
    exit 77
  fi
}

virtual_address() { echo "$virtual_network.$(($1 + 1))"; }
virtual_host() { echo "$virtual_name$1"; }

# virtual_hold NAME UNSHARE_OPTIONS... -- SETUP: starts a process that keeps new namespaces, after
# SETUP, a shell's text, ran in them; everything else enters them. Writes to $virtual_folder/NAME.held
# its number and which network namespace it is.
virtual_hold() {
  local name=$1 options=() i
  shift
  while [[ $1 != -- ]]; do
    options+=("$1")
    shift
  done
  # shellcheck disable=SC2016  # for the inner shell
  unshare --net "${options[@]}" bash -euc '
    ip link set lo up
    eval "$3"
    echo "$$ $(readlink /proc/self/ns/net)" >"$2/$1.new"
    mv "$2/$1.new" "$2/$1.held"
    exec sleep infinity
  ' - "$name" "$virtual_folder" "$2" </dev/null >"$virtual_folder/$name.log" 2>&1 &
  for ((i = 0; i < 200; ++i)); do
    [[ -s $virtual_folder/$name.held ]] && return
    sleep 0.05
  done
  cat "$virtual_folder/$name.log" >&2
  echo "$name did not start" >&2
  return 1
}

virtual_process() { cut -d" " -f1 "$virtual_folder/$1.held"; }

# virtual_on_switch COMMAND...: where the bridge is, which has the hosts' cables and address 1.
virtual_on_switch() { nsenter --target "$(virtual_process switch)" --net -- "$@"; }

# virtual_enter HOST COMMAND...
virtual_enter() {
  local host=$1
  shift
  nsenter --target "$(virtual_process "$host")" --mount --uts --net --wdns="$PWD" -- "$@"
}

virtual_make_switch() {
  virtual_hold switch -- "
    ip link add bridge type bridge
    ip addr add '$(virtual_address 0)/24' dev bridge
    ip link set bridge up"
}

# virtual_make_host NUMBER: from 1 on; its cable's end at the switch has its name.
virtual_make_host() {
  local host
  host=$(virtual_host "$1")
  # shellcheck disable=SC2016  # for the inner shell
  virtual_hold "$host" --mount --uts --propagation private -- '
    hostname "$1"
    mount --bind "$2/hosts" /etc/hosts
    # Whatever is in /tmp of the machine stays out of the host, but for the shared folder.
    mkdir -p "$2/$1.tmp"
    mount --bind "$2" /mnt
    mount -t tmpfs tmpfs /dev/shm
    case $2 in
      /tmp/*) mount -t tmpfs tmpfs /tmp; mkdir -p "$2"; mount --move /mnt "$2" ;;
      *) umount /mnt; mount --bind "$2/$1.tmp" /tmp ;;
    esac'
  virtual_on_switch ip link add "$host" type veth peer name eth0 netns "$(virtual_process "$host")"
  virtual_on_switch ip link set "$host" master bridge up
  virtual_enter "$host" ip addr add "$(virtual_address "$1")/24" dev eth0
  virtual_enter "$host" ip link set eth0 up
}

# virtual_write_hosts COUNT: names and addresses, for /etc/hosts of each.
virtual_write_hosts() {
  local i
  {
    echo "127.0.0.1 localhost"
    for ((i = 1; i <= $1; ++i)); do
      echo "$(virtual_address "$i") $(virtual_host "$i")"
    done
  } >"$virtual_folder/hosts"
}

# Ends every process in every host and at the switch; with the last of them its namespaces go, and
# with these cables and bridge.
virtual_remove_all() {
  local held network process
  for held in "$virtual_folder"/*.held; do
    [[ -s $held ]] || continue
    network=$(cut -d" " -f2 "$held")
    for process in /proc/[0-9]*; do
      if [[ $(readlink "$process/ns/net" 2>/dev/null) == "$network" ]]; then
        kill -9 "${process#/proc/}" 2>/dev/null || true
      fi
    done
  done
}
