#!/usr/bin/env bash
# Hosts on one machine, as functions for slurm.sh and hosts.sh: each is a network namespace on a
# bridge, entered with mount and UTS namespaces of its own, so that it has its own address, host
# name, /tmp and /dev/shm. Needs root and iproute2.
#
# Sourced, after setting:
#   virtual_name     prefix of the bridge and of the namespaces, at most 8 characters
#   virtual_network  the first three numbers of its addresses: "10.77.0"
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
  # In a namespace that is gone at once, so that nothing is left where only half of it works.
  # shellcheck disable=SC2016  # for the inner shell
  if ! unshare --net --mount --uts bash -euc 'ip link add probe-br type bridge
      ip link add probe-a type veth peer name probe-b; mount -t tmpfs tmpfs /mnt
      hostname "$(hostname)"' 2>/dev/null || ! ip netns add "$virtual_name-probe" 2>/dev/null; then
    echo "SKIPPED: this machine allows no network namespaces, bridges or mounts" >&2
    exit 77
  fi
  ip netns delete "$virtual_name-probe"
}

virtual_address() { echo "$virtual_network.$(($1 + 1))"; }
virtual_host() { echo "$virtual_name$1"; }

# The bridge, which is also how the machine itself reaches the hosts, as address 1.
virtual_make_bridge() {
  ip link add "$virtual_name-br" type bridge
  ip addr add "$(virtual_address 0)/24" dev "$virtual_name-br"
  ip link set "$virtual_name-br" up
}

# virtual_make_host NUMBER: from 1 on.
virtual_make_host() {
  local host
  host=$(virtual_host "$1")
  ip netns add "$host"
  ip link add "$host-out" type veth peer name eth0 netns "$host"
  ip link set "$host-out" master "$virtual_name-br" up
  ip -n "$host" addr add "$(virtual_address "$1")/24" dev eth0
  ip -n "$host" link set eth0 up
  ip -n "$host" link set lo up
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

# virtual_hold HOST: a process that keeps the host's namespaces; everything else enters them.
# Writes its number to $virtual_folder/HOST.pid.
virtual_hold() {
  # shellcheck disable=SC2016  # for the inner shell
  nsenter --net="/run/netns/$1" unshare --mount --uts --propagation private bash -euc '
    hostname "$1"
    mount --bind "$2/hosts" /etc/hosts
    # Whatever is in /tmp of the machine stays out of the host, but for the shared folder.
    mkdir -p "$2/$1.tmp"
    mount --bind "$2" /mnt
    mount -t tmpfs tmpfs /dev/shm
    case $2 in
      /tmp/*) mount -t tmpfs tmpfs /tmp; mkdir -p "$2"; mount --move /mnt "$2" ;;
      *) umount /mnt; mount --bind "$2/$1.tmp" /tmp ;;
    esac
    echo $$ >"$2/$1.pid"
    exec sleep infinity
  ' - "$1" "$virtual_folder" </dev/null >"$virtual_folder/$1.log" 2>&1 &
  local i
  for ((i = 0; i < 100; ++i)); do
    [[ -s $virtual_folder/$1.pid ]] && return
    sleep 0.05
  done
  cat "$virtual_folder/$1.log" >&2
  echo "host $1 did not start" >&2
  return 1
}

# virtual_enter HOST COMMAND...
virtual_enter() {
  local host=$1
  shift
  nsenter --target "$(<"$virtual_folder/$host.pid")" --mount --uts --net --wdns="$PWD" -- "$@"
}

# Ends every process in every host and removes hosts and bridge.
virtual_remove_all() {
  local host process
  for host in $(ip netns list | awk '{print $1}' | grep -E "^${virtual_name}[0-9]+$" || true); do
    for process in $(ip netns pids "$host"); do
      kill -9 "$process" 2>/dev/null || true
    done
    ip netns delete "$host"
    # A namespace lives as long as a process in it, which may be a while in dying; its cable not.
    ip link delete "$host-out" 2>/dev/null || true
  done
  ip link delete "$virtual_name-br" 2>/dev/null || true
}
