#!/usr/bin/env bash
# Sets everything up as launch/quickstart.sh does, builds, and runs all tests but the slow ones.
#
#   tests/run.sh [--offline] [--libtorch DIR] [--cuda] [CTEST ARGUMENTS...]
#
# At the end it tells which tests and which files took the longest, against the tests' budget.
# Arguments go to ctest: `tests/run.sh -R data`, `tests/run.sh -L soak` for the slow ones.
# --cuda builds for GPUs too (by itself where NVIDIA's driver is) and runs that on a GPU that computes
# nothing, tests/null_gpu; what no toolkit here has of CUDA is installed from PyPI into .venv.
# THAW_TEST_DATA names the folder with the tests' larger data (default: ../shared/data); a test
# that finds none of it is skipped.
set -euo pipefail
caller=$PWD
cd "$(dirname "${BASH_SOURCE[0]}")/.."
for part in common packages python cuda minilm build; do
  # shellcheck source=/dev/null
  source "launch/setup/$part.sh"
done

torch=${THAW_TORCH:+$(absolute "$THAW_TORCH" "$caller")}
while (($# > 0)); do
  case $1 in
    --offline) export THAW_OFFLINE=1 ;;
    --cuda) want_cuda ;;
    --libtorch)
      torch=$(absolute "${2:-.}" "$caller")
      [[ -d $torch ]] || fail "--libtorch needs a folder, not \"${2:-}\""
      shift
      ;;
    -h | --help)
      usage "${BASH_SOURCE[0]}"
      exit
      ;;
    *) break ;;
  esac
  shift
done

expect_steps 5
step "Debian packages"
ensure_packages build data test
step "Python environment: LibTorch and what data preparation needs"
ensure_python ${torch:+--no-torch} --language --tests
[[ -n $torch ]] || ensure_cuda
step "Weights and tokenizer of all-MiniLM-L6-v2"
ensure_minilm
step "Build"
ensure_built all ON "$torch"
step "Tests"
selection=(-LE soak)
for argument in "$@"; do
  case $argument in
    -L | -LE | --label-regex | --label-exclude) selection=() ;;
  esac
done
rm -f build/tests.xml
status=0
run ctest --test-dir build --output-on-failure --parallel "$(nproc)" --output-junit tests.xml \
  "${selection[@]}" "$@" || status=$?
if [[ -f build/tests.xml ]]; then
  python3 tests/report_times.py build/tests.xml
fi
tell_times
exit "$status"
