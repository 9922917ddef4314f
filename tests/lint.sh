#!/usr/bin/env bash
# clang-tidy over C++ sources and shellcheck over scripts. Slow (half a minute a file), so not one of
# the tests.
#
#   tests/lint.sh [--build DIR] [--since COMMIT | FILE.cpp...]
#
#   --build DIR     a build folder configured without precompiled headers, which clang-tidy cannot
#                   read and which hide a missing include (default: build-lint, configured here)
#   --since COMMIT  only the sources that changed since then (default: all)
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=/dev/null
source launch/setup/common.sh

build=
files=()
since=
while (($# > 0)); do
  case $1 in
    --build)
      build=$2
      shift
      ;;
    --since)
      since=$2
      shift
      ;;
    -h | --help)
      usage "${BASH_SOURCE[0]}"
      exit
      ;;
    *) files+=("$1") ;;
  esac
  shift
done
if [[ -z $build ]]; then
  build=build-lint
  cmake --preset release -B "$build" -DTHAW_PRECOMPILED_HEADERS=OFF >/dev/null
fi
[[ -f $build/compile_commands.json ]] || fail "$build is not configured" "cmake --preset release"
if [[ -n $since ]]; then
  mapfile -t files < <(git diff --name-only --diff-filter=d "$since" -- '*.cpp')
elif ((${#files[@]} == 0)); then
  mapfile -t files < <(git ls-files '*.cpp')
fi

status=0
if command -v shellcheck >/dev/null; then
  git ls-files -z '*.sh' .ci/run | xargs -0 shellcheck || status=1
fi
# Only what the build knows: sources of parts that are off have no command line.
known=()
for file in "${files[@]}"; do
  grep -qF "\"file\": \"$PWD/$file\"" "$build/compile_commands.json" && known+=("$file")
done
if ((${#known[@]} > 0)); then
  printf '%s\0' "${known[@]}" | xargs -0 -n 1 -P "$(build_jobs)" \
    clang-tidy --quiet --extra-arg=-Wno-unknown-warning-option -p "$build" \
    2> >(grep -vE '^[0-9]+ warnings( and [0-9]+ errors)? generated' >&2) || status=1
fi
exit "$status"
