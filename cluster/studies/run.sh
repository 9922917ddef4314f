#!/usr/bin/env bash
# Makes the data of a study and runs it with `thaw compare`; a study that was interrupted goes on
# where it was.
#
#   cluster/studies/run.sh resnet20 [OPTIONS of thaw compare]    CIFAR-10 to CIFAR-100's first 20
#   cluster/studies/run.sh minilm [OPTIONS]                      WordNet to BANKING77
#   cluster/studies/run.sh minilm-few [OPTIONS]                  the same with 10 texts a class
#   cluster/studies/run.sh language [OPTIONS of language.py]     SmolLM2 to WordNet's definitions
#   cluster/studies/run.sh language --quick [OPTIONS]            the same, short, in float32
#   cluster/studies/run.sh surgical --test-images cifar10-test.npz --weights W --depth 20 [OPTIONS of
#       surgical.py]      CIFAR-10 to corrupted images of it
#
# THAW names the command (default: build/thaw); THAW_STUDY_DATA the folder that holds
# cifar10-test.npz, cifar100-first20.npz, resnet20-cifar10.safetensors and banking77/{train,test}.csv
# (default: ../shared/data). Of launch/quickstart.sh it takes data/minilm, data/wordnet-quickstart.h5
# and runs/quickstart; for the language model, of launch/quickstart.sh --language, data/smollm2 and
# WordNet, and Debian's packages bible-kjv and bible-kjv-text, unpacked into data/bible (no root);
# for surgical, PyPI's imagecorruptions, in an environment of its own, data/imagecorruptions.
# Reports come to runs/studies/NAME.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
# shellcheck source=/dev/null
source launch/setup/common.sh
# shellcheck source=/dev/null
source launch/setup/wordnet.sh

study=${1:-}
(($# == 0)) || shift
source_data=${THAW_STUDY_DATA:-../shared/data}
schedules=full,head-only,top-down,bottom-up,chain-thaw

# needs FILE...
needs() {
  local file
  for file in "$@"; do
    [[ -e $file ]] || fail "$file is missing" "see cluster/studies/run.sh --help"
  done
}

# prepare OUTPUT ARGUMENTS of launch/prepare.py...
prepare() {
  local output=$1
  shift
  [[ -f $output ]] || run .venv/bin/python launch/prepare.py "$@" --output "$output"
}

images_as_trained=(--mean "0.485,0.456,0.406" --std "0.229,0.224,0.225")

prepare_images() {
  needs "$source_data"/{cifar10-test.npz,cifar100-first20.npz,resnet20-cifar10.safetensors}
  mkdir -p data
  cp -n "$source_data/resnet20-cifar10.safetensors" data/
  prepare data/study-cifar100-first20.h5 images "${images_as_trained[@]}" \
    --train "$source_data/cifar100-first20.npz:x_train,y_train" --validation-fraction 0.1 \
    --test "$source_data/cifar100-first20.npz:x_test,y_test"
  # Every fifth image, 2,000, which measure retention often and cheaply enough.
  [[ -f data/study-cifar10.npz ]] || .venv/bin/python -c 'import sys, numpy
images = numpy.load(sys.argv[1])
numpy.savez(sys.argv[2], x=images["x"][::5], y=images["y"][::5])' \
    "$source_data/cifar10-test.npz" data/study-cifar10.npz
  prepare data/study-cifar10.h5 images "${images_as_trained[@]}" \
    --validation data/study-cifar10.npz:x,y
}

prepare_texts() {
  needs data/minilm data/wordnet-quickstart.h5 runs/quickstart/weights.safetensors \
    "$source_data"/banking77/{train,test}.csv
  prepare data/study-banking77.h5 text --train "$source_data/banking77/train.csv" \
    --test "$source_data/banking77/test.csv" --text-column text --label-column category \
    --tokenizer data/minilm/tokenizer.json --max-tokens 64 --validation-fraction 0.1
}

# The running text: the first twenty Psalms; of the quick variant six.
prepare_language() {
  local suffix='' definitions=200
  if [[ " $* " == *" --quick "* ]]; then suffix=-quick definitions=100; fi
  needs data/smollm2/model.safetensors
  ensure_wordnet
  # shellcheck disable=SC2154  # ensure_wordnet sets it
  prepare "data/study-definitions$suffix.h5" wordnet --source "$thaw_wordnet" --learn definitions \
    --tokenizer data/smollm2/tokenizer.json --max-tokens 48 --limit 9600 --limit-validation "$definitions"
  if [[ ! -f data/bible/psalms.txt ]]; then
    if offline; then fail "data/bible/psalms.txt is missing, and this run is offline"; fi
    mkdir -p data/bible
    (cd data/bible && run apt-get -qq download bible-kjv bible-kjv-text &&
      for package in *.deb; do dpkg-deb -x "$package" .; done && rm ./*.deb &&
      usr/bin/bible -p usr/lib 'ps1:1-ps20:9' >psalms.part && mv psalms.part psalms.txt)
  fi
  local text=data/bible/psalms$suffix.txt
  [[ -f $text ]] || sed '/^Psalms 7$/,$d' data/bible/psalms.txt >"$text"
  prepare "data/study-text$suffix.h5" corpus --validation "$text" --length 256 \
    --tokenizer data/smollm2/tokenizer.json
}

# An environment of its own: the package needs older releases than all else here.
prepare_corruptions() {
  local folder=data/imagecorruptions
  if [[ ! -e $folder/ready ]]; then
    if offline; then fail "$folder is missing, and this run is offline"; fi
    rm -rf "$folder"
    run python3 -m venv "$folder"
    run "$folder/bin/pip" install -q -r cluster/studies/imagecorruptions.txt
    run "$folder/bin/pip" install -q --no-deps imagecorruptions==1.1.2
    touch "$folder/ready"
  fi
}

# compare CONFIGURATION ARGUMENTS...: three seeds, unless the arguments say how many
compare() {
  local configuration=$1 seeds=(--seeds 3)
  shift
  [[ " $* " != *" --seeds"[\ =]* ]] || seeds=()
  run "${THAW:-build/thaw}" compare "cluster/studies/$configuration.toml" \
    --schedules "$schedules" "${seeds[@]}" --output "runs/studies/$study" "$@"
}

case $study in
  resnet20)
    prepare_images
    compare resnet20-cifar100 --learning-rates 0.02,0.1 "$@"
    ;;
  minilm)
    prepare_texts
    compare minilm-banking77 --schedule.groups-per-stage 2 "$@"
    ;;
  minilm-few)
    prepare_texts
    compare minilm-banking77 --learning-rates 1e-4,3e-4 --schedule.groups-per-stage 2 \
      --data.per-class 10 --data.batch 32 --schedule.total-epochs 12 "$@"
    ;;
  language)
    prepare_language "$@"
    run .venv/bin/python cluster/studies/language.py "$@"
    ;;
  surgical)
    prepare_corruptions
    run .venv/bin/python cluster/studies/surgical.py \
      --corruptor data/imagecorruptions/bin/python "$@"
    ;;
  -h | --help) usage "${BASH_SOURCE[0]}" ;;
  *)
    usage "${BASH_SOURCE[0]}" >&2
    exit 2
    ;;
esac
