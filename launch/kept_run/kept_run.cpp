#include "launch/kept_run/kept_run.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string_view>

#include "core/base/error.h"
#include "core/base/json_text.h"
#include "core/base/text_bytes.h"
#include "core/checkpoint/reader.h"
#include "core/config/option_table.h"
#include "core/data/dataset.h"
#include "core/parallel/agreement.h"
#include "core/parallel/communicator.h"
#include "core/parallel/one_rank.h"
#include "launch/kept_run/is_there.h"
#include "launch/kept_run/model_files.h"
#include "launch/run/checkpoint_weights.h"

namespace thaw {
namespace {

namespace fs = std::filesystem;

/// Whether a name, or a pattern of names, leads to a file.
bool leads_somewhere(const fs::path& path) {
  if (is_there(path)) return true;
  if (path.string().find_first_of("*?[") == std::string::npos) return false;
  try {
    return !expand_files({path.string()}).empty();
  } catch (const InputError&) {
    return false;
  }
}

/// Where a path of a run's configuration leads to from here: Note [A run as an argument]. Nothing
/// where it leads nowhere.
std::optional<std::string> find_path(const std::string& path, const RunFolder& run) {
  if (leads_somewhere(path)) return path;
  if (fs::path(path).is_absolute()) return std::nullopt;
  fs::path folder = fs::absolute(run.path()).lexically_normal();
  while (true) {
    if (leads_somewhere(folder / path)) return (folder / path).string();
    if (!folder.has_relative_path()) return std::nullopt;
    folder = folder.parent_path();
  }
}

// ---------------------------------------------------------------------- flags

/// Options that say where, how fast or on which data something is computed, and those whose content
/// is held against what the weights say of themselves.
constexpr std::array<std::string_view, 14> kFree = {"model.config",
                                                    "model.tokenizer",
                                                    "data.file",
                                                    "data.batch",
                                                    "data.cache",
                                                    "data.read-ahead",
                                                    "data.evaluation-batch",
                                                    "train.device",
                                                    "train.precision",
                                                    "train.micro-batch",
                                                    "train.micro-batch-tokens",
                                                    "train.threads",
                                                    "train.tf32",
                                                    "train.cudnn-benchmark"};

bool is_free(const std::string& key) {
  return key.starts_with("distributed.") ||
         std::find(kFree.begin(), kFree.end(), key) != kFree.end();
}

/// Throws for a flag that says otherwise than the run, and is none that may.
void refuse_contradictions(const RunFolder& run, const ConfigurationDocument& was,
                           const std::vector<Override>& overrides) {
  const std::string path = run.resolved_configuration().string();
  for (const Override& each : overrides) {
    if (is_free(each.key)) continue;
    if (each.key == "model.weights") {
      throw InputError(
          "command line: --model.weights: the weights of a run are named by --weights: best, last, "
          "or a file");
    }
    if (each.key.starts_with("schedule.")) {
      throw InputError(fmt::format(
          "command line: --{}: {} has been trained by its schedule, which nothing here goes by",
          each.key, printable(run.path().string())));
    }
    const std::size_t dot = each.key.find('.');
    const Option* option = find_option(each.key.substr(0, dot), each.key.substr(dot + 1));
    if (option == nullptr) continue;  // which the reader of flags refuses, with the nearest name
    const ConfigurationDocument now = read_configuration(path, {each});
    if (option->get(was) == option->get(now)) continue;
    throw InputError(
        fmt::format("command line: --{}: is {}, but {} was trained with {}: leave it "
                    "out, or name a configuration in place of the run",
                    each.key, toml_text(option->get(now)), printable(run.path().string()),
                    toml_text(option->get(was))));
  }
}

bool is_given(const std::vector<Override>& overrides, std::string_view key) {
  return std::any_of(overrides.begin(), overrides.end(),
                     [&](const Override& each) { return each.key == key; });
}

// ---------------------------------------------------------------------- files

/// The tokenizer that a configuration names, or that lies beside what it names; "": none.
std::string named_tokenizer(const ModelOptions& options, const RunFolder& run) {
  if (!options.tokenizer.empty()) return options.tokenizer;
  for (const std::string& path : {options.weights, options.config}) {
    const std::optional<std::string> place = path.empty() ? std::nullopt : find_path(path, run);
    if (!place) continue;
    const fs::path beside = fs::path(*place).replace_filename("tokenizer.json");
    if (is_there(beside)) return beside.string();
  }
  return "";
}

/// Flags that say where the run's files are now.
std::vector<Override> located_files(const RunFolder& run, const Configuration& configuration,
                                    const std::vector<Override>& given, RunNeeds needs) {
  std::vector<Override> found;
  const auto locate = [&](const char* key, const std::string& path, const fs::path& kept) {
    if (is_given(given, key)) return;
    if (is_there(kept)) {
      found.push_back({key, kept.string()});
    } else if (!path.empty()) {
      if (const std::optional<std::string> place = find_path(path, run)) {
        found.push_back({key, *place});
      }
    }
  };
  if (!configuration.model.config.empty()) {
    locate("model.config", configuration.model.config, kept_config(run));
  }
  if (needs.tokenizer || !configuration.model.tokenizer.empty()) {
    locate("model.tokenizer", named_tokenizer(configuration.model, run), kept_tokenizer(run));
  }
  if (!needs.data || is_given(given, "data.file")) return found;
  std::vector<std::string> files;
  for (const std::string& file : configuration.data.file) {
    const std::optional<std::string> place = find_path(file, run);
    if (!place) {
      throw InputError(fmt::format(
          "{}: its data, {}, lie neither here nor in a folder above the run: say where they are "
          "with --data.file",
          printable(run.path().string()), printable(file)));
    }
    files.push_back(*place);
  }
  if (files != configuration.data.file)
    found.push_back({"data.file", toml_text(OptionValue(files))});
  return found;
}

/// The newest checkpoint that is good; "" where there is none.
std::string newest_checkpoint(const RunFolder& run) {
  const std::unique_ptr<Communicator> alone = make_self_communicator();
  std::vector<RejectedCheckpoint> rejected;
  const auto reader = open_newest(CheckpointStore(run.checkpoints()), *alone, rejected);
  for (const RejectedCheckpoint& each : rejected) {
    fmt::print(stderr, "thaw: warning: passed over a checkpoint: {}\n", printable(each.reason));
  }
  return reader ? reader->folder().string() : "";
}

std::string weights_of(const RunFolder& run, const std::string& wanted) {
  const std::string name = printable(run.path().string());
  if (!wanted.empty() && wanted != "best" && wanted != "last") return wanted;
  if (wanted != "last" && is_there(run.best_weights())) return run.best_weights().string();
  if (wanted == "best") {
    throw InputError(fmt::format(
        "--weights best: {} keeps none: it was not evaluated on a validation split{}; --weights "
        "last takes the newest",
        name, is_there(run.summary()) ? "" : " so far"));
  }
  if (is_there(run.last_weights())) return run.last_weights().string();
  const std::string checkpoint = newest_checkpoint(run);
  if (!checkpoint.empty()) return checkpoint;
  throw InputError(fmt::format(
      "{}: has no weights so far: neither an evaluation nor a checkpoint has been made; "
      "--weights names a file",
      name));
}

WorkSource source_of_run(const RunFolder& run, const std::vector<Override>& overrides,
                         const std::string& weights, RunNeeds needs) {
  const ConfigurationDocument document = configuration_of(run);
  refuse_contradictions(run, document, overrides);
  WorkSource source;
  source.configuration = run.resolved_configuration().string();
  source.overrides = located_files(run, document.configuration, overrides, needs);
  source.overrides.insert(source.overrides.end(), overrides.begin(), overrides.end());
  source.weights = weights_of(run, weights);
  source.run = run.path().string();
  return source;
}

// ---------------------------------------------------------------------- between ranks

std::string text_of(const WorkSource& source) {
  nlohmann::ordered_json flags = nlohmann::ordered_json::array();
  for (const Override& each : source.overrides) {
    flags.push_back({utf8_of_bytes(each.key), utf8_of_bytes(each.value)});
  }
  return json_text({{"configuration", utf8_of_bytes(source.configuration)},
                    {"overrides", flags},
                    {"weights", utf8_of_bytes(source.weights)},
                    {"run", utf8_of_bytes(source.run)}});
}

WorkSource source_in(const std::string& text) {
  const auto json = nlohmann::ordered_json::parse(text);
  const auto word = [](const nlohmann::ordered_json& value) {
    return bytes_of_utf8(value.get<std::string>());
  };
  WorkSource source;
  source.configuration = word(json.at("configuration"));
  for (const auto& each : json.at("overrides")) {
    source.overrides.push_back({word(each.at(0)), word(each.at(1))});
  }
  source.weights = word(json.at("weights"));
  source.run = word(json.at("run"));
  return source;
}

}  // namespace

bool is_run_folder(const std::string& path) {
  std::error_code ignored;
  return fs::is_directory(path, ignored) && !CheckpointWeights::is_at(path);
}

ConfigurationDocument configuration_of(const RunFolder& run) {
  run.require_run();
  if (!is_there(run.resolved_configuration())) {
    throw InputError(fmt::format(
        "{}: this run has no config.resolved.toml, which tells what it is; each of its checkpoints "
        "holds a copy: put one there, or name a configuration in place of the run",
        printable(run.path().string())));
  }
  return read_configuration(run.resolved_configuration().string());
}

WorkSource work_source(const std::string& path, const std::vector<Override>& overrides,
                       const std::string& weights, RunNeeds needs) {
  if (is_run_folder(path)) return source_of_run(RunFolder(path), overrides, weights, needs);
  return {.configuration = path, .overrides = overrides, .weights = weights, .run = ""};
}

WorkSource work_source(const std::string& path, const std::vector<Override>& overrides,
                       const std::string& weights, RunNeeds needs, Communicator& communicator) {
  const std::string told = agreed(communicator, [&] {
    if (communicator.rank() != 0) return std::string();
    const WorkSource found = work_source(path, overrides, weights, needs);
    tell_weights(found);
    return text_of(found);
  });
  return source_in(communicator.broadcast(told, /*root=*/0));
}

void tell_weights(const WorkSource& source) {
  if (source.run.empty()) return;
  fmt::print(stderr, "thaw: weights: {}\n", printable(source.weights));
}

}  // namespace thaw
