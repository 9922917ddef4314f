#include <fmt/format.h>
#include <fmt/ranges.h>

#include "launch/manual/manual.h"

namespace thaw {
namespace {

/// Within single quotes of a shell.
std::string quoted(const std::string& text) {
  std::string result = "'";
  for (const char c : text) {
    if (c == '\'') {
      result += "'\\''";
    } else {
      result += c;
    }
  }
  return result + "'";
}

/// What `_describe` takes: a name and what it is, the first colon between them.
std::string described(const std::string& name, const std::string& text) {
  std::string escaped;
  for (const char c : name) {
    if (c == ':') escaped += '\\';
    escaped += c;
  }
  return quoted(escaped + ":" + text.substr(0, text.find('\n')));
}

// Names of stages as in bash_completion.cpp.
constexpr const char* kZshAfter = R"zsh(
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

_thaw() {
  local command= configuration= word stage key
  local -a flags values
  # The sub-command: behind `launch ... --` it is that of the ranks.
  for word in "${(@)words[2,CURRENT-1]}"; do
    if [[ -z $command && $word != -* ]]; then
      command=$word
    elif [[ $command == launch && $word == -- ]]; then
      command=
    elif [[ -z $configuration && ( $word == *.toml || -e $word/config.resolved.toml ) ]]; then
      configuration=$word
    fi
  done
  if [[ -z $command ]]; then
    _describe 'sub-command' _thaw_commands
    return
  fi
  key="$command ${words[CURRENT-1]}"
  values=(${=_thaw_values[$key]})
  (( $#values )) || values=(${=_thaw_values[${words[CURRENT-1]}]})
  if (( $#values )); then
    compadd -a values
    return
  fi
  if [[ $PREFIX == --schedule.stage.* ]]; then
    for stage in ${(f)"$(_thaw_stages "$configuration")"}; do
      for key in $_thaw_stage_keys; do
        flags+=("--schedule.stage.$stage.$key")
      done
    done
    compadd -a flags
    return
  fi
  if [[ $PREFIX == -* ]]; then
    _thaw_options_of "$command"
    flags=($reply)
    _describe -o 'option' flags
    if (( ${flags[(I)--help-config:*]} )); then
      _describe -o 'option of the configuration' _thaw_flags
      [[ -n $(_thaw_stages "$configuration") ]] && compadd -S '' -- --schedule.stage.
    fi
    return
  fi
  _files
}

_thaw "$@"
)zsh";

}  // namespace

std::string zsh_completion(const Manual& manual) {
  std::string commands, options, flags, values;
  for (const CommandManual& command : manual.commands) {
    commands += "  " + described(command.name, command.summary) + "\n";
    options += fmt::format("    {}) reply=(\n", command.name);
    for (const auto& option : command.arguments.options) {
      options += "      " + described(dashed(option.name), option.help) + "\n";
    }
    options += "    ) ;;\n";
    for (const auto& [before, words] : values_of(command)) {
      values += fmt::format("  '{} {}' '{}'\n", command.name, before, fmt::join(words, " "));
    }
  }
  for (const ConfigurationManual& option : manual.options) {
    flags += "  " + described("--" + option.name, option.help) + "\n";
    if (option.choices.empty()) continue;
    values += fmt::format("  --{} '{}'\n", option.name, fmt::join(option.choices, " "));
  }
  return fmt::format(
      "#compdef thaw\n# zsh completion of thaw; `thaw completion zsh` writes it.\n\n"
      "typeset -ga _thaw_commands _thaw_flags _thaw_stage_keys\ntypeset -gA _thaw_values\n"
      "_thaw_commands=(\n{})\n_thaw_flags=(\n{})\n_thaw_stage_keys=({})\n_thaw_values=(\n{})\n\n"
      "# The options of the sub-command $1, in reply.\n_thaw_options_of() {{\n  case $1 in\n{}"
      "    *) reply=() ;;\n  esac\n}}\n{}",
      commands, flags, fmt::join(manual.stage_keys, " "), values, options, kZshAfter);
}

}  // namespace thaw
