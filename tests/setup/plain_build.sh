#!/usr/bin/env bash
# Every source and header compiles with its own includes alone, without the precompiled headers that
# a build usually has (Note [A file is given what it includes already]).
#
#   tests/setup/plain_build.sh [TARGET...]          (default: all)
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
# shellcheck source=/dev/null
source launch/setup/common.sh

targets=("${@:-all}")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
run cmake --preset release -B "$work" -DTHAW_PRECOMPILED_HEADERS=OFF -DCMAKE_CXX_FLAGS_RELEASE=-O0
run cmake --build "$work" --target "${targets[@]}" --parallel "$(build_jobs)"
