// What Thaw reads of JSON besides a checkpoint's manifest. The first byte says as what the rest is
// taken: a model's config.json, the index of weights in parts, a checkpoint's state, what is in a
// run's folder (metrics.jsonl, and behind a byte 1 summary.json), a tokenizer.json, a decoder's
// config.json, what weights say of themselves; and of what is no JSON a lease, and the beginning of
// any file at all.

#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <string_view>

#include "core/base/error.h"
#include "core/base/file_kind.h"
#include "core/data/identity/tokenizer_identity.h"
#include "core/models/bert/bert_config.h"
#include "core/models/convnext/convnext_config.h"
#include "core/models/distilbert/distilbert_config.h"
#include "core/models/gpt2/gpt2_config.h"
#include "core/models/llama/llama_config.h"
#include "core/models/modernbert/modernbert_config.h"
#include "core/models/roberta/roberta_config.h"
#include "core/models/vit/vit_config.h"
#include "core/models/weights/model_description.h"
#include "core/models/weights/weight_parts.h"
#include "core/record/lease_rules.h"
#include "core/record/metrics_cut.h"
#include "core/record/run_history.h"
#include "core/record/run_record.h"
#include "core/train/training_state.h"
#include "launch/kept_run/run_story.h"

namespace {

namespace fs = std::filesystem;

constexpr char kBetween = '\1';

void require(bool condition) {
  if (!condition) std::abort();
}

/// A folder of this process's own, in memory where that can be; the same for all inputs.
const fs::path& scratch_folder() {
  static const fs::path folder = [] {
    const char* root = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
    fs::path path = fs::path(root) / ("thaw-json-fuzz-" + std::to_string(getpid()));
    fs::create_directories(path);
    return path;
  }();
  static const int registered = std::atexit([] { fs::remove_all(scratch_folder()); });
  require(registered == 0);
  return folder;
}

std::string write(const char* name, std::string_view text) {
  const fs::path path = scratch_folder() / name;
  std::ofstream(path, std::ios::binary) << text;
  return path.string();
}

std::string read(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

void check_encoder(const thaw::EncoderConfig& config) {
  require(config.vocabulary > 0 && config.layers > 0 && config.longest > 0);
  require(config.heads > 0 && config.hidden % config.heads == 0);
  require(config.padding < config.vocabulary && config.first_position >= 0);
}

void check_config(std::string_view text) {
  check_encoder(thaw::read_bert_config(write("config.json", text)));
}

void check_roberta(std::string_view text) {
  check_encoder(thaw::read_roberta_config(write("roberta.json", text)));
}

void check_distilbert(std::string_view text) {
  check_encoder(thaw::read_distilbert_config(write("distilbert.json", text)));
}

void check_modernbert(std::string_view text) {
  const thaw::ModernBertConfig config = thaw::read_modernbert_config(write("modern.json", text));
  require(config.vocabulary > 0 && config.longest > 0 && config.padding < config.vocabulary);
  require(config.heads > 0 && config.head_size() * config.heads == config.hidden);
  require(config.head_size() % 2 == 0);
  require(config.reaches.size() == static_cast<std::size_t>(config.layers));
  require(config.global_rotary.theta > 1 && config.local_rotary.theta > 1);
  require(!thaw::function_of(config).empty());
}

void check_llama(std::string_view text) {
  const thaw::LlamaConfig config = thaw::read_llama_config(write("llama.json", text));
  require(config.vocabulary > 0 && config.hidden > 0 && config.longest > 0);
  require(config.key_heads > 0 && config.heads % config.key_heads == 0);
  require(config.head_size > 0 && config.head_size % 2 == 0);
  require(config.windows.size() == static_cast<std::size_t>(config.layers));
  for (const std::int64_t window : config.windows) require(window >= 0 && window < config.longest);
  require(config.rotary.theta > 1 && config.rotary.factor > 0 && config.rotary.vector_scale > 0);
  require(!thaw::function_of(config).empty());
}

void check_gpt2(std::string_view text) {
  const thaw::Gpt2Config config = thaw::read_gpt2_config(write("gpt2.json", text));
  require(config.vocabulary > 0 && config.longest > 0 && config.intermediate > 0);
  require(config.heads > 0 && config.hidden % config.heads == 0);
}

void check_index(std::string_view text) {
  const std::string path = write("model.safetensors.index.json", text);
  const thaw::WeightParts parts = thaw::find_weight_parts(path);
  require(!parts.files.empty() && !parts.holders.empty());
  for (const auto& [tensor, file] : parts.holders) require(file < parts.files.size());
  for (const std::string& file : parts.files)
    require(fs::path(file).parent_path() == scratch_folder());
}

/// What is taken for a state is written as one that is the same.
void check_state(std::string_view text) {
  const thaw::TrainingState state = thaw::training_state_from_json(std::string(text), "state.json");
  const std::string written = thaw::to_json(state);
  require(thaw::to_json(thaw::training_state_from_json(written, "again.json")) == written);
}

/// Cut a second time, a log stays what it is.
void check_cut(std::string_view text) {
  const std::string path = write("cut.jsonl", text);
  const thaw::MetricsCut cut{.step = 20, .evaluated = true};
  const thaw::LoggedSteps logged = thaw::cut_metrics(path, cut);
  require(logged.apart >= 1);
  const std::string kept = read(path);
  require(thaw::cut_metrics(path, cut).last == logged.last && read(path) == kept);
}

void check_history(std::string_view text) {
  write("metrics.jsonl", text);
  require(!thaw::read_history(thaw::RunFolder(scratch_folder())).stages.empty());
}

void check_record(std::string_view text) {
  const std::string_view metrics = text.substr(0, text.find(kBetween));
  write("metrics.jsonl", metrics);
  write("summary.json", text.size() > metrics.size() ? text.substr(metrics.size() + 1) : "{}");
  const thaw::RunRecord record = thaw::read_run(scratch_folder());
  require(!record.curve.empty() && !record.metric.empty());
  record.area();
}

void check_tokenizer(std::string_view text) {
  const auto identity = thaw::tokenizer_identity(text);
  require(identity.size() <= 2 && identity.at("tokenizer_sha256").size() == 64);
  require(thaw::may_be_one_tokenizer(identity, thaw::tokenizer_identity(text)));
}

void check_vit(std::string_view text) {
  const thaw::VitConfig config = thaw::read_vit_config(write("vit.json", text));
  require(config.hidden > 0 && config.layers > 0 && config.intermediate > 0);
  require(config.heads > 0 && config.hidden % config.heads == 0);
  require(config.rows > 0 && config.columns > 0 && config.patch > 0);
  require(config.tokens(config.rows, config.columns) > 0 && !thaw::function_of(config).empty());
}

void check_convnext(std::string_view text) {
  const thaw::ConvNextConfig config = thaw::read_convnext_config(write("convnext.json", text));
  require(!config.widths.empty() && config.widths.size() == config.depths.size());
  require(config.smallest() >= config.patch && !thaw::function_of(config).empty());
}

/// What is taken for a description is written as one that is the same.
void check_description(std::string_view text) {
  const thaw::ModelDescription model = thaw::model_description_from_json(text, "description");
  require(thaw::model_description_from_json(thaw::to_json(model), "again") == model);
  describe(model, "  ");
}

void check_story(std::string_view text) {
  write("metrics.jsonl", text);
  const thaw::RunStory story = thaw::read_story(thaw::RunFolder(scratch_folder()));
  require(story.steps >= 0 && story.skipped >= 0);
  for (const thaw::StoryStage& stage : story.stages) {
    require(stage.samples >= 0 && stage.losses <= stage.told_steps);
  }
}

/// A lease that is understood is renewed as the same one.
void check_lease(std::string_view text) {
  const auto lease = thaw::parse_lease(std::string(text));
  if (!lease) return;
  const std::string written = thaw::lease_text(*lease);
  const auto again = thaw::parse_lease(written);
  require(again && thaw::lease_text(*again) == written && !thaw::lease_holder(*lease).empty());
}

void check_kind(std::string_view text) {
  const std::string clause = thaw::clause_of_bytes(text.substr(0, thaw::kKindBytes));
  require(clause.empty() || clause.starts_with("; it is "));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  using Check = void (*)(std::string_view);
  constexpr Check kChecks[] = {check_config,  check_index,    check_state,       check_cut,
                               check_history, check_record,   check_tokenizer,   check_llama,
                               check_gpt2,    check_roberta,  check_distilbert,  check_modernbert,
                               check_vit,     check_convnext, check_description, check_story,
                               check_lease,   check_kind};
  const std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
  try {
    kChecks[data[0] % std::size(kChecks)](text);
  } catch (const thaw::InputError& error) {
    require(!std::string_view(error.what()).empty());
  }
  return 0;
}
