# shellcheck shell=bash
# Configuring and building into build/.

# tell_slowest_files LINES: the five files of build/ that took the longest of those that Ninja has
# built since its log had so many lines.
tell_slowest_files() {
  [[ -f build/.ninja_log ]] || return 0
  tail -n "+$(($1 + 1))" build/.ninja_log | awk -F'\t' '
    !/^#/ && NF == 5 {
      sub(/CMakeFiles\/[^\/]*\.dir\//, "", $4)
      sub(/\.o$/, "", $4)
      printf "%.1f s  %s\n", ($2 - $1) / 1000, $4
    }' | sort -rn | awk '
    NR == 1 { print "      the files that took the longest:" }
    NR <= 5 { print "        " $0 }'
}

# ensure_built TARGET TESTS [LIBTORCH]: build/ holds TARGET, up to date. TESTS is ON or OFF.
ensure_built() {
  local target=$1 tests=$2 torch=${3:-} lines=0 arguments=(--preset release)
  if [[ ! -f build/CMakeCache.txt ]] && ! command -v ninja >/dev/null; then
    arguments+=(-G "Unix Makefiles")
  fi
  # All is built here, once: the files of a room together.
  if [[ ! -f build/CMakeCache.txt ]]; then
    arguments+=(-DTHAW_UNITY_BUILD=ON)
  fi
  # A build folder that has its tests keeps them.
  if [[ $tests == ON || ! -f build/CMakeCache.txt ]]; then
    arguments+=("-DTHAW_BUILD_TESTS=$tests")
  fi
  if [[ -n $torch ]]; then
    arguments+=("-DTHAW_TORCH=$torch")
  fi
  if [[ ${thaw_cuda:-} == on ]]; then
    arguments+=(-DTHAW_CUDA=ON)
  fi
  run cmake "${arguments[@]}"
  [[ ! -f build/.ninja_log ]] || lines=$(wc -l <build/.ninja_log)
  run cmake --build build --target "$target" --parallel "$(build_jobs)"
  tell_slowest_files "$lines"
}
