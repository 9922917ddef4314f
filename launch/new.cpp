#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <sstream>
#include <system_error>

#include "core/base/error.h"
#include "core/base/text_bytes.h"
#include "core/base/whole_file.h"
#include "launch/command/arguments.h"
#include "launch/command/shell_word.h"
#include "launch/command/subcommand.h"
#include "launch/job/job.h"
#include "launch/job/own_program.h"
#include "launch/job/python_script.h"
#include "launch/kept_run/is_there.h"
#include "launch/starter/starter.h"

namespace thaw {

// `thaw new`: see Note [Starters]. One process; writes two files, and none over another.
ArgumentParser new_parser() {
  ArgumentParser parser("new text|images|language DIR [--data FILE] [--model FOLDER]",
                        "Writes into DIR a commented configuration, KIND.toml, and README.md "
                        "with the commands that "
                        "make its data, check it, train and use it; prints these.");
  parser.positional("KIND", "text, images or language: what is learnt from");
  std::vector<std::string> kinds;
  for (const Starter& each : starters()) kinds.push_back(each.name);
  parser.choices("KIND", kinds);
  parser.positional("DIR", "the folder, which is made where it is not there");
  parser.option(
      "data",
      "your table of texts (.csv, .tsv, .jsonl), or folder of a folder of images a class; "
      "default: a name to put it under in DIR");
  parser.option("model",
                "a Hugging Face folder (config.json, model.safetensors, tokenizer.json) to begin "
                "from; default: what the quick start has fetched; images: none, from scratch");
  parser.option("text-column", "of the table; default: text, or of language prompt");
  parser.option("label-column", "of the table; default: label, or of language completion");
  return parser;
}

namespace {

namespace fs = std::filesystem;

/// One of `starters()`.
Starter starter_named(const std::string& name) {
  std::vector<Starter> all = starters();
  return *std::find_if(all.begin(), all.end(),
                       [&](const Starter& each) { return each.name == name; });
}

/// "thaw" where that is this very command, else its path: of a package, that of the script which
/// finds LibTorch for it.
std::string command_name() {
  std::error_code error;
  const fs::path own = own_program();
  const char* path = std::getenv("PATH");
  std::istringstream folders(path != nullptr ? path : "");
  for (std::string folder; std::getline(folders, folder, ':');) {
    const fs::path found = fs::path(folder) / "thaw";
    if (is_there(found)) return fs::equivalent(found, own, error) ? "thaw" : own.string();
  }
  return own.string();
}

/// Where the quick start has put a model, if it has; "" elsewhere.
std::string fetched_model(const Starter& starter, const fs::path& scripts) {
  if (starter.model_folder.empty()) return "";
  const fs::path root = scripts.parent_path();
  for (const fs::path& folder : {fs::absolute(starter.model_folder), root / starter.model_folder}) {
    if (is_there(folder / "config.json") && is_there(folder / "model.safetensors")) {
      return folder.lexically_normal().string();
    }
  }
  return "";
}

std::string named_model(const std::string& folder, const Starter& starter) {
  for (const char* file : {"config.json", "model.safetensors", "tokenizer.json"}) {
    if (starter.name == "images" && std::string(file) == "tokenizer.json") continue;
    if (is_there(fs::path(folder) / file)) continue;
    throw InputError(fmt::format(
        "--model {}: has no {}; a Hugging Face folder is wanted, with its weights in one file",
        printable(folder), file));
  }
  return fs::absolute(folder).lexically_normal().string();
}

/// The user's file, wherever commands are typed.
std::string named_data(const std::string& path) {
  if (!is_there(path)) {
    throw InputError(fmt::format("--data {}: there is no such file or folder", printable(path)));
  }
  return fs::absolute(path).lexically_normal().string();
}

/// In a file's quotation marks, or a comment, these would end it.
void refuse_odd_names(const StarterFacts& facts) {
  for (const std::string& word : {facts.thaw, facts.prepare, facts.model, facts.data}) {
    const bool odd = !is_utf8(word) || std::any_of(word.begin(), word.end(), [](unsigned char c) {
      return c < ' ' || c == '"' || c == '\\' || c == '`' || c == '@';
    });
    if (!odd) continue;
    throw InputError(fmt::format(
        "{}: a path with such characters in it cannot be written into the configuration: rename it",
        printable(word)));
  }
}

StarterFacts facts_of(const ArgumentParser::Parsed& arguments, const Starter& starter) {
  const fs::path prepare = fs::canonical(script_path("prepare.py"));
  const auto given = [&](const char* option, const std::string& fallback) {
    const std::string text = arguments[option];
    return text.empty() ? fallback : text;
  };
  StarterFacts facts{
      .thaw = command_name(),
      .prepare = prepare.string(),
      .model = arguments["model"].empty() ? fetched_model(starter, prepare.parent_path())
                                          : named_model(arguments["model"], starter),
      .data = arguments["data"].empty() ? starter.data : named_data(arguments["data"]),
      .text_column = given("text-column", starter.text_column),
      .label_column = given("label-column", starter.label_column)};
  refuse_odd_names(facts);
  return facts;
}

/// As they are typed in a shell.
StarterFacts as_words(StarterFacts facts) {
  for (std::string* text : {&facts.thaw, &facts.prepare, &facts.model, &facts.data,
                            &facts.text_column, &facts.label_column}) {
    if (!text->empty()) *text = shell_word(*text);
  }
  return facts;
}

/// The commands of a README: what stands in its blocks of shell.
std::string commands_in(const std::string& read_me) {
  std::string commands;
  bool inside = false;
  std::istringstream lines(read_me);
  for (std::string line; std::getline(lines, line);) {
    const std::size_t indent = std::min(line.find_first_not_of(' '), std::size_t{3});
    const std::string text = line.substr(std::min(indent, line.size()));
    if (text.starts_with("```")) {
      inside = !inside;
    } else if (inside) {
      commands += "  " + text + "\n";
    }
  }
  return commands;
}

ExitStatus write_starter(const std::vector<std::string>& command_line) {
  const std::optional<ArgumentParser::Parsed> parsed = new_parser().parse(command_line);
  if (!parsed) {
    return ExitStatus::kDone;
  }
  const ArgumentParser::Parsed& arguments = *parsed;
  const Starter starter = starter_named(arguments["KIND"]);
  const StarterFacts facts = facts_of(arguments, starter);
  const fs::path folder = arguments["DIR"];
  const fs::path configuration = folder / (starter.name + ".toml");
  const fs::path read_me = folder / "README.md";
  for (const fs::path& path : {configuration, read_me}) {
    if (!is_there(path)) continue;
    throw InputError(
        fmt::format("{}: is there already, and is not written over: name another folder",
                    printable(path.string())));
  }
  std::error_code error;
  fs::create_directories(folder, error);
  if (!fs::is_directory(folder)) {
    throw InputError(fmt::format("{}: cannot make this folder{}", printable(folder.string()),
                                 error ? ": " + error.message() : std::string()));
  }
  const std::string commands = filled(starter.read_me, as_words(facts));
  write_whole_file(configuration, filled(starter.configuration, facts));
  write_whole_file(read_me, commands);
  fmt::print("written: {}, {}\nnext:\n\n  cd {}\n{}", printable(configuration.string()),
             printable(read_me.string()), shell_word(folder.string()), commands_in(commands));
  return ExitStatus::kDone;
}

}  // namespace

int run_new(std::vector<std::string> arguments) {
  return run_alone([&] { return write_starter(arguments); });
}

}  // namespace thaw
