# shellcheck shell=bash
# What the quick start of a language model shows before training and after.

# Words of WordNet's validation split, which training does not see.
thaw_defined=("attack dog (noun, animal):" "compost heap (noun, group):" "grieve (verb, emotion):")

tell_language_size() { say "gguf, jinja2 and what they need: 1.2 MB to download, 5 MB in .venv"; }

# define CONFIG WEIGHTS: a line each of what the model says that those words are.
define() {
  local word
  for word in "${thaw_defined[@]}"; do
    printf '%s%s\n' "$word" "$(build/thaw generate "$1" --weights "$2" --prompt "$word" \
      --max-tokens 32 | tr '\n' ' ')"
  done
}

# look_before CONFIG WEIGHTS RUN: keeps loss and definitions of the weights as they came beside RUN.
look_before() {
  local kept=$3.before
  if [[ ! -f $kept.json || ! -f $kept.txt ]]; then
    mkdir -p "$(dirname "$3")"
    build/thaw evaluate "$1" --weights "$2" --split validation >"$kept.json.part"
    define "$1" "$2" >"$kept.txt"
    mv "$kept.json.part" "$kept.json"
  fi
  sed 's/^/      /' "$kept.txt"
}

# print_language_result RUN: losses by stage; definitions before and after.
print_language_result() {
  local kept=$1.before
  [[ -f $1.after.txt && $1.after.txt -nt $1/weights.safetensors ]] ||
    define "$1" "$1/weights.safetensors" >"$1.after.txt"
  .venv/bin/python launch/setup/print_language_result.py "$1" "$kept.json" "$kept.txt" "$1.after.txt"
}
