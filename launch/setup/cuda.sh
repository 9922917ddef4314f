# shellcheck shell=bash
# What building for GPUs takes, all from PyPI where no CUDA toolkit is installed: no root.
#
# thaw_cuda says whether that is done: "on" (asked for: what is missing is an error), "auto" (where
# this machine has NVIDIA's driver, if it can be), "off".

thaw_cuda=auto

# want_cuda: what --cuda means.
want_cuda() { thaw_cuda=on; }

has_gpu_driver() {
  [[ -e /dev/nvidia0 || -e /dev/dxg ]] || nvidia-smi -L >/dev/null 2>&1 ||
    PATH=$PATH:/sbin:/usr/sbin ldconfig -p 2>/dev/null | grep -F libcuda.so.1 >/dev/null
}

wants_cuda() { [[ $thaw_cuda == on ]] || { [[ $thaw_cuda == auto ]] && has_gpu_driver; }; }

# gpu_count: GPUs of this machine that a program would see.
gpu_count() {
  if [[ -n ${CUDA_VISIBLE_DEVICES+set} ]]; then
    tr ',' '\n' <<<"$CUDA_VISIBLE_DEVICES" | grep -c '[^ ]' || true
  else
    { nvidia-smi -L 2>/dev/null || true; } | grep -c '^GPU' || true
  fi
}

# The CUDA toolkit whose nvcc is of the CUDA that .venv's LibTorch is built for, or nothing.
find_toolkit() {
  local nvcc wanted
  wanted=$(cat .venv/lib/python3*/site-packages/torch/lib/libc10_cuda.so 2>/dev/null |
    grep -aoE 'libcudart\.so\.[0-9]+' | head -n 1 | grep -oE '[0-9]+$') || return 0
  for nvcc in "${CUDAToolkit_ROOT:-}/bin/nvcc" "${CUDA_HOME:-}/bin/nvcc" \
    "${CUDA_PATH:-}/bin/nvcc" "$(command -v nvcc)" /usr/local/cuda/bin/nvcc; do
    if [[ -x $nvcc ]] && "$nvcc" --version 2>/dev/null | grep "release $wanted\." >/dev/null; then
      realpath "$(dirname "$(realpath "$nvcc")")/.."
      return
    fi
  done
}

# The wheels leave out what only building needs: the names without versions, and the toolkit's own
# name of the folder.
complete_cuda_wheels() {
  local folder library
  for folder in .venv/lib/python3*/site-packages/nvidia/cu[0-9]*; do
    [[ -d $folder/lib ]] || continue
    [[ -e $folder/lib64 ]] || ln -s lib "$folder/lib64"
    for library in "$folder"/lib/libcudart.so.*; do
      [[ ! -e $library || -e ${library%.so.*}.so ]] ||
        ln -s "$(basename "$library")" "${library%.so.*}.so"
    done
  done
}

# ensure_cuda: where it is wanted, .venv has the libraries that LibTorch's CUDA part loads and, if no
# toolkit fits, nvcc.
ensure_cuda() {
  local toolkit attempt asked=() missing=()
  wants_cuda || return 0
  toolkit=$(find_toolkit)
  if [[ -n $toolkit ]]; then
    say "CUDA toolkit: $toolkit"
    asked=(--toolkit "$toolkit")
  else
    asked=(--compiler)
  fi
  for attempt in metadata wheels; do
    mapfile -t missing < <(.venv/bin/python launch/setup/cuda_wheels.py "${asked[@]}")
    if ((${#missing[@]} == 0)); then
      say "all that CUDA takes is installed"
      complete_cuda_wheels
      return
    elif offline && [[ $thaw_cuda == on ]]; then
      fail "missing in .venv for CUDA, and this run is offline: ${missing[*]}" \
        "run once with the network, or without --cuda"
    elif offline; then
      say "no CUDA: this run is offline, and .venv lacks ${missing[*]}"
      return
    fi
    [[ $attempt == metadata ]] ||
      say "$(.venv/bin/python launch/setup/cuda_wheels.py "${asked[@]}" --sizes)"
    run .venv/bin/python -m pip install --quiet --no-deps --force-reinstall --only-binary :all: \
      "${missing[@]}"
  done
  complete_cuda_wheels
}
