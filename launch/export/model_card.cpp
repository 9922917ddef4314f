#include "launch/export/model_card.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "core/base/json_text.h"
#include "core/base/text_bytes.h"
#include "core/models/huggingface/export_files.h"
#include "core/schedule/metrics.h"

namespace thaw {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kStagesShown = 40;
constexpr std::size_t kClassesShown = 60;

bool sees_images(const ModelDescription& trained) { return trained.channels > 0; }

/// A text within YAML, which JSON's strings are.
std::string quoted(const std::string& text) { return json_text(text); }

/// A text within a table's cell or a paragraph of Markdown.
std::string cell(const std::string& text) {
  std::string result;
  for (const char c : printable(text)) {
    if (c == '|' || c == '`' || c == '*' || c == '_' || c == '<' || c == '[') result += '\\';
    result += c;
  }
  return result;
}

std::string front_matter(const ModelCard& card, const std::string& pipeline) {
  std::string text = fmt::format(
      "---\nlibrary_name: transformers\npipeline_tag: {}\ntags:\n- thaw\n- gradual-unfreezing\n",
      pipeline);
  if (card.sentences) text += "- sentence-transformers\n";
  if (!card.run || !card.run->evaluation) return text + "---\n";
  const EvaluationReport& evaluation = *card.run->evaluation;
  std::string metrics =
      fmt::format("    - type: loss\n      value: {}\n", json_text(evaluation.loss));
  for (const Figure& figure : evaluation.figures) {
    metrics += fmt::format("    - type: {}\n      value: {}\n", key_of_metric(figure.name),
                           json_text(figure.value));
  }
  return text + fmt::format(
                    "model-index:\n- name: {}\n  results:\n  - task:\n      type: {}\n"
                    "    dataset:\n      type: own\n      name: {}\n      split: {}\n    "
                    "metrics:\n{}---\n",
                    quoted(card.name), pipeline,
                    quoted(fmt::format("{}", fmt::join(card.run->data, ", "))), evaluation.split,
                    metrics);
}

std::string how_to_load(const ModelCard& card, const std::string& pipeline) {
  if (!card.has_tokenizer && !sees_images(card.trained)) {
    return "No tokenizer was exported: `AutoModel` classes of transformers load the network, and "
           "its "
           "tokens have to be made as for training.\n";
  }
  const std::string name = json_text(card.name);
  std::string text =
      "In the folder that holds this one, with the Python package transformers:\n\n```python\n"
      "from transformers import pipeline\n\n";
  text += fmt::format("model = pipeline({}, model={}{})\n", json_text(pipeline), name,
                      card.own_code ? ", trust_remote_code=True" : "");
  if (sees_images(card.trained)) {
    text += "print(model(\"image.png\"))\n";
  } else if (pipeline == "text-generation") {
    text += "print(model(\"How it begins\", max_new_tokens=32, do_sample=False))\n";
  } else if (pipeline == "text-classification") {
    text += "print(model(\"A text to classify.\", truncation=True))\n";
  } else {
    text += "print(model(\"A text of which each word gets a class.\"))\n";
  }
  text += "```\n";
  if (card.own_code) {
    text +=
        "\n`trust_remote_code` lets transformers run the Python file in this folder, of a few "
        "lines: "
        "their own class of this network pools in another way. Without it a layer of random "
        "weights would classify.\n";
  }
  if (card.sentences) {
    text += fmt::format(
        "\nAs an encoder of sentences, with the package sentence-transformers: "
        "`SentenceTransformer({})`.\n",
        name);
  }
  return text;
}

std::string what_it_learnt(const ModelCard& card) {
  const ModelDescription& trained = card.trained;
  std::string text =
      fmt::format("Task: {}.", trained.task.empty() ? "classification" : trained.task);
  if (card.run && !card.run->data.empty()) {
    text += fmt::format(" Data: {}.", cell(fmt::format("{}", fmt::join(card.run->data, ", "))));
  }
  if (sees_images(trained)) {
    text +=
        fmt::format(" Images of {} x {} pixels in {} channels{}.", trained.height, trained.width,
                    trained.channels,
                    trained.mean.empty() ? "" : ", normalised as preprocessor_config.json says");
  } else if (const auto most = trained.tokens.find("max_tokens"); most != trained.tokens.end()) {
    text += fmt::format(" Texts were cut at {} tokens.", cell(most->second));
  }
  text += "\n";
  if (trained.classes.empty()) return text;
  std::vector<std::string> names;
  for (const std::string& name : trained.classes) {
    if (names.size() < kClassesShown) names.push_back(cell(name));
  }
  return text + fmt::format("\n{} classes: {}{}.\n", trained.classes.size(), fmt::join(names, ", "),
                            names.size() < trained.classes.size() ? ", …" : "");
}

std::string figures_of(const EvaluationReport& evaluation) {
  std::string text = fmt::format(
      "On the {} split ({} samples), after step {}:\n\n| | |\n| --- | ---: |\n| loss | {:.4f} |\n",
      evaluation.split, evaluation.samples, evaluation.step, evaluation.loss);
  for (const Figure& figure : evaluation.figures) {
    text += fmt::format("| {} | {:.4f} |\n", cell(figure.name), figure.value);
  }
  return text;
}

std::string schedule_of(const TrainedRun& run) {
  std::string text = fmt::format(
      "By gradual unfreezing: {} steps in {} stages, each of which trained the groups that it "
      "names; "
      "all others stayed as they were.\n\n"
      "| stage | steps | groups | learning rate | trained parameters |\n"
      "| --- | ---: | --- | ---: | ---: |\n",
      run.steps, run.stages.size());
  for (std::size_t i = 0; i < std::min(run.stages.size(), kStagesShown); ++i) {
    const TrainedStage& stage = run.stages[i];
    text += fmt::format("| {} | {} | {} | {:g} | {} |\n", cell(stage.name), stage.steps,
                        cell(fmt::format("{}", fmt::join(stage.groups, ", "))), stage.learning_rate,
                        stage.active_parameters);
  }
  if (run.stages.size() > kStagesShown) {
    text += fmt::format("\n… and {} more.\n", run.stages.size() - kStagesShown);
  }
  return text + "\nThe settings, as Thaw's configuration has them:\n\n```toml\n" + run.settings +
         "```\n";
}

}  // namespace

std::string pipeline_of(const ModelDescription& trained) {
  if (trained.task == "causal-lm") return "text-generation";
  if (trained.task == "token-classification") return "token-classification";
  return sees_images(trained) ? "image-classification" : "text-classification";
}

std::string model_card_text(const ModelCard& card) {
  const std::string pipeline = pipeline_of(card.trained);
  std::string text = front_matter(card, pipeline) + fmt::format("\n# {}\n\n", cell(card.name));
  text += fmt::format(
      "A network of the family {}, fine-tuned by Thaw{} and exported for Hugging Face's "
      "transformers.\n\n## How to load it\n\n",
      cell(card.trained.architecture),
      card.trained.version.empty() ? "" : " " + cell(card.trained.version));
  text += how_to_load(card, pipeline) + "\n## What it learnt\n\n" + what_it_learnt(card);
  text += "\n## Figures\n\n";
  if (!card.run) {
    return text +
           "The weights did not lie in the folder of a run, so nothing is known of how they were "
           "trained.\n";
  }
  text += card.run->evaluation ? figures_of(*card.run->evaluation)
                               : "These weights were not evaluated in training.\n";
  return text + "\n## How it was trained\n\n" + schedule_of(*card.run);
}

std::string model_card_of(const std::string& folder, std::optional<TrainedRun> run,
                          const ModelDescription& trained) {
  const fs::path place = fs::weakly_canonical(folder);
  ModelCard card{.name = place.filename().string(), .trained = trained, .run = std::move(run)};
  card.own_code = read_json_file(place / kConfigFile).value.contains("auto_map");
  card.sentences = fs::exists(place / "modules.json");
  card.has_tokenizer = fs::exists(place / kTokenizerFile);
  return model_card_text(card);
}

}  // namespace thaw
