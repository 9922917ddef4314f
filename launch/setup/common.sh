# shellcheck shell=bash
# Shared by the set-up scripts: steps, what they print, and what they are allowed to do.
# Sourced with `set -euo pipefail` on; the working folder is the project's root.
#
# THAW_OFFLINE=1 forbids every use of the network.

thaw_steps_total=0
thaw_steps_done=0
thaw_step_started=0
thaw_step_title=
thaw_step_times=()

# expect_steps N: how many steps the script has, for the numbers.
expect_steps() { thaw_steps_total=$1; }

# step TITLE: ends the step before, telling its time, and starts the next.
step() {
  finish_step
  thaw_steps_done=$((thaw_steps_done + 1))
  thaw_step_started=$SECONDS
  thaw_step_title=$1
  printf '\n[%d/%d] %s\n' "$thaw_steps_done" "$thaw_steps_total" "$1"
}

finish_step() {
  if ((thaw_steps_done > 0)); then
    printf '      done in %d s\n' $((SECONDS - thaw_step_started))
    thaw_step_times+=("$((SECONDS - thaw_step_started)) s  $thaw_step_title")
  fi
}

# tell_times: ends the last step; tells the whole script's time and the three longest steps.
tell_times() {
  finish_step
  printf '\n      %d s in all, the longest of them:\n' "$SECONDS"
  printf '%s\n' "${thaw_step_times[@]}" | sort -rn | head -3 | sed 's/^/        /'
}

say() { printf '      %s\n' "$*"; }

# fail MESSAGE...: one message on standard error, a line an argument, and status 1.
fail() {
  printf '\nerror: %s\n' "$1" >&2
  shift
  if (($# > 0)); then
    printf '       %s\n' "$@" >&2
  fi
  exit 1
}

# run COMMAND...: shows the command, then runs it.
run() {
  printf '      $'
  printf ' %q' "$@"
  printf '\n'
  "$@"
}

thaw_unfinished=()

# remove_at_exit PATH: something half done, which is to be gone however the script ends.
remove_at_exit() {
  thaw_unfinished+=("$1")
  trap 'rm -rf "${thaw_unfinished[@]}"' EXIT
}

# usage SCRIPT: prints the comment that it starts with.
usage() { sed -n '2,/^[^#]/{/^#/s/^# \{0,1\}//p}' "$1"; }

# absolute PATH FOLDER: PATH as seen from FOLDER.
absolute() { (cd "$2" && realpath -m "$1"); }

offline() { [[ ${THAW_OFFLINE:-0} != 0 ]]; }

# The cores that this process may use, bounded by memory: a file of LibTorch takes up to 2 GiB.
build_jobs() {
  local cores memory
  cores=$(nproc)
  memory=$(awk '/^MemAvailable:/ { print int($2 / 2097152) }' /proc/meminfo)
  memory=$((memory > 0 ? memory : 1))
  echo $((cores < memory ? cores : memory))
}
