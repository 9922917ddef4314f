#!/usr/bin/env bash
# From a fresh machine to a fine-tuned network: installs what is missing, builds Thaw into build/,
# and trains MiniLM to name the topic of a WordNet gloss, by gradual unfreezing, under mpirun. Or, with
# --language, SmolLM2 to define a word of WordNet.
#
#   launch/quickstart.sh [--language] [--ranks N] [--libtorch DIR] [--build-only] [--offline] [--cuda]
#
#   --language      a language model (135 million parameters; 93 MB to download, 0.6 GB in data/) in
#                   place of MiniLM: shows three definitions before training and after
#   --ranks N       processes to train with (default: one a GPU, 2 where there is none)
#   --libtorch DIR  an existing LibTorch >= 2.7: an unpacked zip from pytorch.org, or a Python
#                   environment with torch; without it PyPI's is installed into .venv
#   --build-only    stop when build/thaw is there
#   --offline       use no network: what is missing is an error
#   --cuda          build for GPUs too, which is done by itself where NVIDIA's driver is: at most
#                   2.1 GB from PyPI, no root and no CUDA toolkit needed. Runs without a GPU too
#
# A second run does nothing twice and needs no network. Debian packages are installed where this
# runs as root or sudo asks for no password, else those that are missing are listed.
set -euo pipefail
caller=$PWD
cd "$(dirname "${BASH_SOURCE[0]}")/.."
for part in common packages python cuda minilm smollm2 wordnet language build; do
  # shellcheck source=/dev/null
  source "launch/setup/$part.sh"
done

ranks=
torch=${THAW_TORCH:+$(absolute "$THAW_TORCH" "$caller")}
build_only=false
language=false
while (($# > 0)); do
  case $1 in
    --ranks)
      ranks=${2:-}
      [[ $ranks =~ ^[1-9][0-9]*$ ]] || fail "--ranks needs a number, not \"$ranks\""
      shift
      ;;
    --libtorch)
      torch=$(absolute "${2:-.}" "$caller")
      [[ -d $torch ]] || fail "--libtorch needs a folder, not \"${2:-}\""
      shift
      ;;
    --build-only) build_only=true ;;
    --language) language=true ;;
    --cuda) want_cuda ;;
    --offline) export THAW_OFFLINE=1 ;;
    -h | --help)
      usage "${BASH_SOURCE[0]}"
      exit
      ;;
    *) fail "unknown option $1" "see launch/quickstart.sh --help" ;;
  esac
  shift
done

if $language; then
  config=configs/language.toml
  data=data/definitions-quickstart.h5
  weights=data/smollm2
  run_folder=runs/language
  prepared=(--learn definitions --max-tokens 48 --limit 3840 --limit-validation 200)
else
  config=configs/quickstart.toml
  data=data/wordnet-quickstart.h5
  weights=data/minilm
  run_folder=runs/quickstart
  prepared=(--max-tokens 32 --limit 24000 --limit-validation 4000)
fi

prepare_data() {
  if [[ -f $data ]]; then
    say "$data is there"
    return
  fi
  ensure_wordnet
  # shellcheck disable=SC2154  # ensure_wordnet sets it
  run .venv/bin/python launch/prepare.py wordnet --source "$thaw_wordnet" \
    --tokenizer "$weights/tokenizer.json" "${prepared[@]}" --output "$data"
}

# Open MPI's own environment variables, for a rank count and a user that it would refuse.
launch_environment() {
  if ((EUID == 0)); then  # in a container, mostly
    export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
  fi
  if ((ranks > $(nproc))); then
    export OMPI_MCA_rmaps_base_oversubscribe=1
  fi
}

train() {
  if [[ -f $run_folder/summary.json ]]; then
    say "$run_folder holds a finished run; to train anew, move it away or delete it"
    return
  fi
  if [[ -d $run_folder ]]; then
    run mv "$run_folder" "$run_folder.unfinished.$(date +%Y%m%d-%H%M%S)"
  fi
  launch_environment
  # Not bound, a rank uses its share of all cores; bound, mpirun would give it one.
  run mpirun -n "$ranks" --bind-to none build/thaw train "$config" \
    --run-dir "$run_folder"
}

print_result() {
  if $language; then
    print_language_result "$run_folder"
  else
    .venv/bin/python launch/setup/print_result.py "$run_folder"
  fi
  cat <<END

      The network          $run_folder/weights.safetensors (best: weights.best.safetensors)
      What happened        $run_folder/metrics.jsonl, $run_folder/summary.json
      As it was configured $run_folder/config.resolved.toml, from $config
      Data, weights before $data, $weights/
      The program          build/thaw --help
END
}

# build PURPOSE...: of the Debian packages that it installs before.
build() {
  step "Debian packages"
  ensure_packages "$@"
  step "LibTorch"
  if [[ -n $torch ]]; then
    say "$torch, as given"
  else
    ensure_python
    ensure_cuda
  fi
  step "Build"
  ensure_built thaw OFF "$torch"
}

if $build_only; then
  expect_steps 3
  build build
  tell_times
  printf '\n      build/thaw is there; build/thaw --help tells what it does\n'
  exit
fi

# On a GPU one rank each; a rank more would find none.
default_ranks() {
  local gpus
  gpus=$(gpu_count)
  if ((gpus > 0)) && build/thaw --version | grep -F 'CUDA yes' >/dev/null; then
    echo "$gpus"
  else
    echo 2
  fi
}

expect_steps "$($language && echo 8 || echo 7)"
build build data
if $language; then
  step "Python environment for data preparation; weights and tokenizer of SmolLM2-135M-Instruct"
  tell_language_size
  ensure_python ${torch:+--no-torch} --language
  ensure_smollm2
  step "Data: WordNet's words and their definitions"
else
  step "Python environment for data preparation; weights and tokenizer of all-MiniLM-L6-v2"
  ensure_python ${torch:+--no-torch}
  ensure_minilm
  step "Data: WordNet's glosses and their topics"
fi
prepare_data
if $language; then
  step "Before training: the loss, and three definitions"
  look_before "$config" "$weights/model.safetensors" "$run_folder"
fi
ranks=${ranks:-$(default_ranks)}
step "Training with $ranks rank$( ((ranks == 1)) || echo s)"
train
step "Result"
print_result
tell_times
