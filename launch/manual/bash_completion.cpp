#include <fmt/format.h>
#include <fmt/ranges.h>

#include "launch/manual/manual.h"

namespace thaw {
namespace {

// What needs no table of the command's. Names of stages are read from the configuration that stands
// on the line, by awk: starting the program for them would take a second at each key. Of a run they
// are those of its resolved configuration.
constexpr const char* kBashBefore =
    R"bash(# bash completion of thaw; `thaw completion bash` writes it.

# The names of the stages in the configuration file, or of the run, $1.
_thaw_stages() {
  local file=$1
  [[ -d $file ]] && file=$file/config.resolved.toml
  [[ -r $file ]] || return
  awk '
    /^[[:space:]]*\[/ { inside = /^[[:space:]]*\[\[[[:space:]]*schedule\.stage[[:space:]]*\]\]/ }
    inside && /^[[:space:]]*name[[:space:]]*=/ && match($0, /"[^"]*"|\047[^\047]*\047/) {
      print substr($0, RSTART + 1, RLENGTH - 2)
    }' "$file"
}

)bash";

constexpr const char* kBashAfter = R"bash(
_thaw() {
  local current=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]}
  local command= configuration= word place stage
  COMPREPLY=()
  # bash takes --option=value apart at the equals sign.
  if [[ $current == "=" ]]; then
    current=
  elif [[ $before == "=" ]]; then
    before=${COMP_WORDS[COMP_CWORD - 2]}
  fi
  # The sub-command: behind `launch ... --` it is that of the ranks.
  for ((place = 1; place < COMP_CWORD; ++place)); do
    word=${COMP_WORDS[place]}
    if [[ -z $command && $word != -* ]]; then
      command=$word
    elif [[ $command == launch && $word == -- ]]; then
      command=
    elif [[ -z $configuration && ($word == *.toml || -e $word/config.resolved.toml) ]]; then
      configuration=$word
    fi
  done
  if [[ -z $command ]]; then
    COMPREPLY=($(compgen -W "$_thaw_commands --help --version" -- "$current"))
    return
  fi
  local values
  values=$(_thaw_values "$command" "$before")
  if [[ -n $values ]]; then
    COMPREPLY=($(compgen -W "$values" -- "$current"))
    return
  fi
  case $current in
    --schedule.stage.*)
      local flags=()
      while IFS= read -r stage; do
        [[ -n $stage ]] || continue
        for word in $_thaw_stage_keys; do
          flags+=("--schedule.stage.$stage.$word")
        done
      done < <(_thaw_stages "$configuration")
      # compgen would take a blank in a stage's name for the end of a word.
      local IFS=$'\n' found=()
      for word in "${flags[@]}"; do
        [[ $word == "$current"* ]] && found+=("$word")
      done
      COMPREPLY=("${found[@]}")
      return
      ;;
    -*)
      word=$(_thaw_options "$command")
      if [[ -n $configuration && $word == *--help-config* ]] &&
        [[ -n $(_thaw_stages "$configuration") ]]; then
        word+=" --schedule.stage."
      fi
      COMPREPLY=($(compgen -W "$word" -- "$current"))
      [[ ${#COMPREPLY[@]} == 1 && ${COMPREPLY[0]} == *. ]] && compopt -o nospace
      return
      ;;
  esac
  # Files and folders: what bash itself completes.
}

complete -o default -F _thaw thaw
)bash";

}  // namespace

std::string bash_completion(const Manual& manual) {
  std::vector<std::string> names;
  std::string options, values;
  for (const CommandManual& command : manual.commands) {
    names.push_back(command.name);
    std::vector<std::string> flags;
    for (const auto& option : command.arguments.options) flags.push_back(dashed(option.name));
    options += fmt::format("    {}) echo '{}{}' ;;\n", command.name, fmt::join(flags, " "),
                           command.arguments.takes_configuration ? "'\" $_thaw_flags\"'" : "");
    for (const auto& [before, words] : values_of(command)) {
      values +=
          fmt::format("    '{} {}') echo '{}' ;;\n", command.name, before, fmt::join(words, " "));
    }
  }
  std::vector<std::string> flags;
  for (const ConfigurationManual& option : manual.options) {
    flags.push_back("--" + option.name);
    if (option.choices.empty()) continue;
    values +=
        fmt::format("    *' --{}') echo '{}' ;;\n", option.name, fmt::join(option.choices, " "));
  }
  return fmt::format(
      "{}_thaw_commands='{}'\n_thaw_stage_keys='{}'\n_thaw_flags='{}'\n\n"
      "# The options of the sub-command $1.\n_thaw_options() {{\n  case $1 in\n{}  esac\n}}\n\n"
      "# What may follow $2 in the sub-command $1, where it is known.\n"
      "_thaw_values() {{\n  case \"$1 $2\" in\n{}  esac\n}}\n{}",
      kBashBefore, fmt::join(names, " "), fmt::join(manual.stage_keys, " "), fmt::join(flags, " "),
      options, values, kBashAfter);
}

}  // namespace thaw
