# shellcheck shell=bash
# Configuring and building into build/.

# ensure_built TARGET TESTS [LIBTORCH]: build/ holds TARGET, up to date. TESTS is ON or OFF.
ensure_built() {
  local target=$1 tests=$2 torch=${3:-} arguments=(--preset release)
  if [[ ! -f build/CMakeCache.txt ]] && ! command -v ninja >/dev/null; then
    arguments+=(-G "Unix Makefiles")
  fi
  # A build folder that has its tests keeps them.
  if [[ $tests == ON || ! -f build/CMakeCache.txt ]]; then
    arguments+=("-DTHAW_BUILD_TESTS=$tests")
  fi
  if [[ -n $torch ]]; then
    arguments+=("-DTHAW_TORCH=$torch")
  fi
  run cmake "${arguments[@]}"
  run cmake --build build --target "$target" --parallel "$(build_jobs)"
}
