#!/usr/bin/env bash
# A real Slurm of several nodes on one machine, to try batch scripts on: slurmctld, a slurmd for
# each node in network and mount namespaces of its own, and munge.
#
#   cluster/virtual/slurm.sh start [--nodes N] [--cores C] [--gpus G] [--folder DIR]
#   cluster/virtual/slurm.sh run [--folder DIR] COMMAND...   where it can be reached: sbatch, squeue, …
#   cluster/virtual/slurm.sh stop [--folder DIR]
#
#   --nodes N     thaw1 to thawN (default: 2)
#   --cores C     that each says it has, whatever the machine has (default: 2)
#   --gpus G      that each says it has, to be asked for and counted: there are none
#   --folder DIR  its state and logs (default: /var/tmp/thaw-slurm)
#
# Jobs of the partition "urgent" preempt those of the default one, "all": they are asked to stop, have
# 60 s for it, and go back into the queue.
#
# Needs root and Debian's slurmctld, slurmd, slurm-client, munge and iproute2. The working folder of
# a job must lie outside /tmp, which each node has for itself.
set -eEuo pipefail
here=$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")
# shellcheck source=/dev/null
source "$here/network.sh"

# shellcheck disable=SC2034  # for network.sh
virtual_name=thaw
# shellcheck disable=SC2034  # for network.sh
virtual_network=10.77.0
virtual_folder=/var/tmp/thaw-slurm
nodes=2
cores=2
gpus=
command=${1:-}
(($# == 0)) || shift
while (($# > 0)); do
  case $1 in
    --nodes) nodes=$2; shift ;;
    --cores) cores=$2; shift ;;
    --gpus) gpus=$2; shift ;;
    --folder) virtual_folder=$(readlink -f "$2"); shift ;;
    -h | --help) command=help; break ;;
    *) break ;;
  esac
  shift
done
configuration=$virtual_folder/slurm.conf

write_configuration() {
  cat >"$configuration" <<END
ClusterName=virtual
SlurmctldHost=$(hostname)($(virtual_address 0))
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket=$virtual_folder/munge.socket
CredType=cred/munge
CryptoType=crypto/munge
StateSaveLocation=$virtual_folder/state
SlurmdSpoolDir=$virtual_folder/spool-%n
SlurmctldPidFile=$virtual_folder/slurmctld.pid
SlurmdPidFile=$virtual_folder/slurmd-%n.pid
SlurmctldLogFile=$virtual_folder/slurmctld.log
SlurmdLogFile=$virtual_folder/slurmd-%n.log
SlurmctldPort=16817
SlurmdPort=16818
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
MpiDefault=none
ReturnToService=2
SchedulerType=sched/backfill
SchedulerParameters=sched_interval=1,bf_interval=1
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SlurmdParameters=config_overrides
JobRequeue=1
KillWait=5
MinJobAge=3600
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
${gpus:+GresTypes=gpu}
END
  local i
  for ((i = 1; i <= nodes; ++i)); do
    echo "NodeName=$(virtual_host "$i") NodeAddr=$(virtual_address "$i") CPUs=$cores${gpus:+ Gres=gpu:$gpus} State=UNKNOWN"
  done >>"$configuration"
  cat >>"$configuration" <<END
PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP PriorityTier=1 GraceTime=60
PartitionName=urgent Nodes=ALL MaxTime=INFINITE State=UP PriorityTier=2 PreemptMode=OFF
END
}

# Slurm looks for it beside its configuration. A GPU is a device file to it, of which nobody looks at
# the content here: at most four.
write_gpus() {
  local devices=(/dev/null /dev/zero /dev/full /dev/random) i
  for ((i = 0; i < ${gpus:-0}; ++i)); do
    echo "Name=gpu File=${devices[i]}"
  done >"$virtual_folder/gres.conf"
}

start_munge() {
  dd if=/dev/urandom of="$virtual_folder/munge.key" bs=128 count=1 status=none
  chmod 600 "$virtual_folder/munge.key"
  munged --force --key-file="$virtual_folder/munge.key" --socket="$virtual_folder/munge.socket" \
    --pid-file="$virtual_folder/munge.pid" --log-file="$virtual_folder/munge.log" \
    --seed-file="$virtual_folder/munge.seed"
}

wait_for_nodes() {
  local i
  for ((i = 0; i < 150; ++i)); do
    if (($(virtual_on_switch sinfo --noheader --Node --partition=all --states=idle 2>/dev/null | wc -l) == nodes)); then
      return
    fi
    sleep 0.2
  done
  virtual_on_switch sinfo >&2 || true
  echo "the nodes did not become idle" >&2
  return 1
}

start() {
  virtual_require_root munged slurmctld slurmd sinfo
  if [[ -e $virtual_folder/slurm.conf ]]; then
    echo "$virtual_folder is in use; stop it first" >&2
    exit 2
  fi
  mkdir -p "$virtual_folder/state"
  chmod 755 "$virtual_folder"
  trap 'give_up' ERR INT TERM
  local i host
  virtual_make_switch
  virtual_write_hosts "$nodes"
  write_configuration
  write_gpus
  export SLURM_CONF=$configuration
  start_munge
  virtual_on_switch slurmctld -f "$configuration"
  for ((i = 1; i <= nodes; ++i)); do
    host=$(virtual_host "$i")
    mkdir -p "$virtual_folder/spool-$host"
    virtual_make_host "$i"
    virtual_enter "$host" slurmd -f "$configuration" -N "$host"
  done
  wait_for_nodes
  trap - ERR INT TERM
  echo "Slurm of $nodes nodes is up; slurm.sh run sbatch … talks to it"
}

give_up() {
  trap - ERR INT TERM
  local log
  for log in "$virtual_folder"/*.log; do
    echo "--- $log" >&2
    tail -n 8 "$log" >&2 || true
  done
  stop
  exit 1
}

# end PID_FILE: the daemon, waiting until it is gone.
end() {
  [[ -s $1 ]] || return 0
  local process i
  process=$(<"$1")
  kill "$process" 2>/dev/null || return 0
  for ((i = 0; i < 100; ++i)); do
    kill -0 "$process" 2>/dev/null || return 0
    sleep 0.1
  done
  kill -9 "$process"
}

stop() {
  end "$virtual_folder/slurmctld.pid"
  end "$virtual_folder/munge.pid"
  virtual_remove_all
  rm -rf --one-file-system "$virtual_folder"
}

case $command in
  start) start ;;
  stop) virtual_require_root; stop ;;
  run) SLURM_CONF=$configuration virtual_on_switch "$@" ;;
  *) sed -n '2,/^set -eEuo/{/^set -eEuo/d;s/^# \{0,1\}//;p}' "${BASH_SOURCE[0]}" ;;
esac
