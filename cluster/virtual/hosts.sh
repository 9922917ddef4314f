#!/usr/bin/env bash
# Several hosts on one machine, to try jobs over a real network on: each has its own address, host
# name, /tmp and /dev/shm, and mpirun starts ranks on them over TCP.
#
#   cluster/virtual/hosts.sh start [--hosts N] [--slots S]
#   cluster/virtual/hosts.sh run [-n RANKS] [mpirun's options] COMMAND...   mpirun over all hosts
#   cluster/virtual/hosts.sh on HOST COMMAND...       on one of them: host1 to hostN
#   cluster/virtual/hosts.sh pull HOST                takes its cable out
#   cluster/virtual/hosts.sh plug HOST                puts it in again
#   cluster/virtual/hosts.sh rate MBIT|off            limits what each sends and receives
#   cluster/virtual/hosts.sh stop
#
#   --hosts N      (default: 3)
#   --slots S      ranks a host (default: 1)
#   --folder DIR   first of all arguments: its state (default: /var/tmp/thaw-hosts)
#
# Needs root, iproute2 and Open MPI. Files of a job must lie outside /tmp, which each host has for
# itself.
set -eEuo pipefail
here=$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")
# shellcheck source=/dev/null
source "$here/network.sh"

# shellcheck disable=SC2034  # for network.sh
virtual_name=host
# shellcheck disable=SC2034  # for network.sh
virtual_network=10.78.0
virtual_folder=/var/tmp/thaw-hosts
if [[ ${1:-} == --folder ]]; then
  virtual_folder=$(readlink -f "$2")
  shift 2
fi
command=${1:-}
(($# == 0)) || shift

start() {
  local hosts=3 slots=1 i
  while (($# > 0)); do
    case $1 in
      --hosts) hosts=$2 ;;
      --slots) slots=$2 ;;
      *) echo "unknown option $1" >&2; exit 2 ;;
    esac
    shift 2
  done
  virtual_require_root mpirun tc
  if [[ -e $virtual_folder/hosts ]]; then
    echo "$virtual_folder is in use; stop it first" >&2
    exit 2
  fi
  mkdir -p "$virtual_folder"
  trap 'trap - ERR INT TERM; stop; exit 1' ERR INT TERM
  virtual_make_switch
  virtual_write_hosts "$hosts"
  for ((i = 1; i <= hosts; ++i)); do
    virtual_make_host "$i"
    echo "$(virtual_host "$i") slots=$slots" >>"$virtual_folder/hostfile"
  done
  # What mpirun calls in the place of ssh: AGENT HOST COMMAND...
  cat >"$virtual_folder/agent" <<END
#!/usr/bin/env bash
host=\$1
shift
exec nsenter --target "\$(cut -d" " -f1 "$virtual_folder/\$host.held")" --mount --uts --net -- \\
  /bin/sh -c "cd '\$PWD'; \$*"
END
  chmod +x "$virtual_folder/agent"
  trap - ERR INT TERM
  echo "$hosts hosts of $slots slots are up"
}

run() {
  export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
  virtual_enter "$(virtual_host 1)" mpirun --hostfile "$virtual_folder/hostfile" \
    --mca plm_rsh_agent "$virtual_folder/agent" --mca btl tcp,self,vader \
    --mca btl_tcp_if_include "$virtual_network.0/24" \
    --mca oob_tcp_if_include "$virtual_network.0/24" --bind-to none "$@"
}

rate() {
  local held host end
  for held in "$virtual_folder/$virtual_name"*.held; do
    host=$(basename "$held" .held)
    for end in "virtual_on_switch tc qdisc DO dev $host" "virtual_enter $host tc qdisc DO dev eth0"; do
      ${end/DO/del} root 2>/dev/null || true
      if [[ $1 != off ]]; then
        ${end/DO/add} root tbf rate "$1mbit" burst 256kb latency 50ms
      fi
    done
  done
}

stop() {
  virtual_remove_all
  rm -rf --one-file-system "$virtual_folder"
}

case $command in
  start) start "$@" ;;
  run) run "$@" ;;
  on) virtual_enter "$@" ;;
  pull) virtual_on_switch ip link set "$1" down ;;
  plug) virtual_on_switch ip link set "$1" up ;;
  rate) rate "$1" ;;
  stop) virtual_require_root; stop ;;
  *) sed -n '2,/^set -eEuo/{/^set -eEuo/d;s/^# \{0,1\}//;p}' "${BASH_SOURCE[0]}" ;;
esac
