#include "launch/run/weights_match.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "core/base/error.h"
#include "core/base/text_bytes.h"
#include "core/config/configuration_document.h"
#include "core/config/model_families.h"
#include "core/data/dataset.h"
#include "core/data/label_matching.h"
#include "core/models/model.h"
#include "core/tasks/task.h"
#include "launch/command/version.h"
#include "launch/run/run_setup.h"
#include "launch/run/trained_weights.h"

namespace thaw {
namespace {

/// One value of the configuration against the weights'.
void adopt_option(ConfigurationDocument& document, const std::string& key, const std::string& own,
                  const std::string& trained, const TrainedWeights& weights, WeightsRole role) {
  const std::string name = "model." + key;
  const bool of_source = role == WeightsRole::kSourceTask;
  if (of_source ? !is_of_the_head(key) : document.given.contains(name)) {
    throw InputError(fmt::format(
        "{}: is \"{}\", but {} was trained with \"{}\": {}", name, own, printable(weights.path()),
        printable(trained),
        of_source ? "forgetting is measured on the run's own network"
                  : "leave the option out, which takes what the weights say, or name others"));
  }
  if (!set_from_text(document.configuration.model, key, trained)) {
    throw InputError(
        fmt::format("{}: was trained with {} = \"{}\", which this version of Thaw does "
                    "not have",
                    weights.path(), key, printable(trained)));
  }
}

std::string numbers_text(const std::vector<double>& values) {
  return values.empty() ? "none" : fmt::format("{}", fmt::join(values, ","));
}

/// Attributes may have gone through float32.
bool nearly_equal(const std::vector<double>& a, const std::vector<double>& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](double x, double y) {
    return std::abs(x - y) <= 1e-6 * std::max(std::abs(x), std::abs(y));
  });
}

/// A data file and weights that are to go together, and what is to be said of it.
class Match {
 public:
  Match(Dataset& dataset, const Task& task, const DataUse& use, const TrainedWeights& weights)
      : dataset_(dataset),
        task_(task),
        use_(use),
        weights_(weights),
        trained_(weights.description()) {}

  std::vector<std::string> run() {
    if (trained_.says_nothing()) say_what_is_unknown();
    match_task();
    match_names();
    match_images();
    match_tokens();
    return std::move(notes_);
  }

 private:
  std::string file() const { return printable(dataset_.files().front()); }
  std::string weights() const { return printable(weights_.path()); }
  bool numbers() const { return dataset_.label_type() == LabelType::kValues; }

  void say_what_is_unknown() {
    const bool nameless = trained_.classes.empty() && !numbers();
    notes_.push_back(fmt::format(
        "{} does not say what it is (an earlier version of Thaw wrote it, or another program): {} "
        "are taken from the configuration and the data, unchecked",
        weights(),
        nameless ? "classes and their order, pooling, normalisation and tokens"
                 : "pooling, normalisation and tokens"));
  }

  void match_task() const {
    const std::string data_task(name_of(task_.kind()));
    const bool other = !trained_.task.empty() && trained_.task != data_task;
    const bool no_classes = trained_.task.empty() && trained_.one_class_a_sample &&
                            dataset_.label_type() != LabelType::kClass;
    if (!other && !no_classes) return;
    throw InputError(fmt::format("{}: is data of {}, but {} was trained for {}", file(), data_task,
                                 weights(), other ? printable(trained_.task) : "classification"));
  }

  void match_names() {
    const std::vector<std::string>& names = numbers() ? trained_.targets : trained_.classes;
    const std::vector<std::string>& own = numbers() ? dataset_.targets() : dataset_.classes();
    if (names.empty()) return;
    std::vector<std::int64_t> places = places_among(own, names);
    const auto width = static_cast<std::int64_t>(names.size());
    if (numbers() && own.empty()) places = places_of_nameless(width);
    if (are_the_same(places, width) && !own.empty()) return;
    if (takes_numbers(own, width)) return;
    if (use_.labels) {
      refuse_unknown(own, places);
      if (dataset_.label_type() == LabelType::kFlags || numbers()) refuse_missing(own, names);
    } else {
      tell_unknown(own, places);
    }
    dataset_.relabel(names, places);
  }

  /// Columns that nobody named: one is the one, several could be in any order.
  std::vector<std::int64_t> places_of_nameless(std::int64_t width) const {
    std::vector<std::int64_t> places(static_cast<std::size_t>(dataset_.label_width()), -1);
    if (width == 1 && places.size() == 1) places[0] = 0;
    return places;
  }

  /// Another program's weights for data without names: both go by number, as they always did.
  bool takes_numbers(const std::vector<std::string>& own, std::int64_t width) {
    // Fewer may occur than there are.
    const bool fit = static_cast<std::int64_t>(own.size()) <= width;
    if (!weights_.names_beside() || numbers() || !are_numbers(own) || !fit) return false;
    notes_.push_back(
        fmt::format("{} names no classes: its labels are taken as the numbers of {} ({})", file(),
                    weights(), short_list(trained_.classes)));
    std::vector<std::int64_t> places(own.size());
    for (std::size_t i = 0; i < places.size(); ++i) places[i] = static_cast<std::int64_t>(i);
    dataset_.relabel(trained_.classes, places);
    return true;
  }

  void refuse_unknown(const std::vector<std::string>& own,
                      const std::vector<std::int64_t>& places) const {
    for (const std::string& split : use_.splits) {
      const std::vector<std::int64_t> unknown = unplaced(dataset_.split(split).labels(), places);
      if (unknown.empty()) continue;
      std::vector<std::string> names;
      for (const std::int64_t i : unknown) {
        const auto at = static_cast<std::size_t>(i);
        names.push_back(at < own.size() ? own[at] : fmt::format("column {}", i));
      }
      throw InputError(refusal(split, names));
    }
  }

  std::string refusal(const std::string& split, const std::vector<std::string>& unknown) const {
    const char* what = numbers() ? "targets" : "classes";
    std::string text =
        fmt::format("{}: split \"{}\" has {} that {} does not know: {} (it was trained on: {})",
                    file(), split, what, weights(), short_list(unknown),
                    short_list(numbers() ? trained_.targets : trained_.classes));
    if (numbers() ? dataset_.targets().empty() : are_numbers(dataset_.classes())) {
      text += fmt::format(
          "; the data does not name its {0}, and they are matched by name: write the names, in the "
          "order of the labels, into its attribute \"{0}\" (h5py: file.attrs[\"{0}\"] = [...])",
          what);
    } else {
      text += "; model.head = \"new\" trains a head for them";
    }
    return text;
  }

  /// A flag or a number that is predicted, and of which the data says nothing, counts as wrong.
  void refuse_missing(const std::vector<std::string>& own,
                      const std::vector<std::string>& names) const {
    std::vector<std::string> missing;
    const std::vector<std::int64_t> back = places_among(names, own);
    for (std::size_t i = 0; i < names.size(); ++i) {
      if (back[i] < 0 && !(numbers() && own.empty())) missing.push_back(names[i]);
    }
    if (missing.empty()) return;
    throw InputError(fmt::format("{}: has no labels for what {} predicts: {}", file(), weights(),
                                 short_list(missing)));
  }

  void tell_unknown(const std::vector<std::string>& own, const std::vector<std::int64_t>& places) {
    const bool known = std::any_of(places.begin(), places.end(), [](auto at) { return at >= 0; });
    if (known || own.empty() || are_numbers(own)) return;
    notes_.push_back(fmt::format("{} names other classes ({}) than {}, whose are predicted: {}",
                                 file(), short_list(own), weights(),
                                 short_list(numbers() ? trained_.targets : trained_.classes)));
  }

  void match_images() {
    const SampleFormat& format = dataset_.format();
    if (format.kind != DataKind::kImages || trained_.channels == 0) return;
    if (format.channels != trained_.channels) {
      throw InputError(fmt::format("{}: images of {} channels, but {} was trained on {}", file(),
                                   format.channels, weights(), trained_.channels));
    }
    if (format.height != trained_.height || format.width != trained_.width) {
      notes_.push_back(
          fmt::format("{}: images of {} x {}, those that {} was trained on had {} x {}", file(),
                      format.height, format.width, weights(), trained_.height, trained_.width));
    }
    if (trained_.knows_normalisation) match_normalisation();
  }

  // Note [The weights' normalisation]
  // The mean and deviation that pixels are normalised by belong to the network, as its first layer
  // does: with others it is another network. A data file keeps its pixels as they are and says by
  // what they are to be normalised. So bytes of which it says nothing are normalised as in
  // training; real numbers of which it says nothing may have been normalised before, which nobody
  // can tell; and what says otherwise is refused, in predictions too: whoever prepared it meant
  // another network.
  void match_normalisation() {
    const std::vector<double>& mean = dataset_.mean();
    const std::vector<double>& deviation = dataset_.std_deviation();
    if (nearly_equal(mean, trained_.mean) && nearly_equal(deviation, trained_.std_deviation)) {
      return;
    }
    const std::string trained = fmt::format("mean {}, std {}", numbers_text(trained_.mean),
                                            numbers_text(trained_.std_deviation));
    if (mean.empty() && dataset_.format().bytes) {
      dataset_.normalise(trained_.mean, trained_.std_deviation);
      notes_.push_back(
          fmt::format("{} does not say how its pixels are normalised: as those that {} "
                      "was trained on ({})",
                      file(), weights(), trained));
      return;
    }
    throw InputError(fmt::format(
        "{}: its pixels are normalised by mean {}, std {}, but {} was trained with {}: give the "
        "file the same attributes \"mean\" and \"std\" (prepare.py: --mean, --std)",
        file(), numbers_text(mean), numbers_text(deviation), weights(), trained));
  }

  void match_tokens() {
    if (dataset_.format().kind != DataKind::kText) return;
    const auto both = [&](const char* key, auto&& differ) {
      const auto own = dataset_.tokens().find(key);
      const auto trained = trained_.tokens.find(key);
      if (own == dataset_.tokens().end() || trained == trained_.tokens.end()) return;
      if (own->second != trained->second) differ(own->second, trained->second);
    };
    // The file's own sum also changes where another program has written the same tokenizer again.
    constexpr const char* kFunction = "tokenizer_function";
    const bool by_function =
        dataset_.tokens().contains(kFunction) && trained_.tokens.contains(kFunction);
    for (const char* key : {by_function ? kFunction : "tokenizer_sha256", "vocabulary_size"}) {
      both(key, [&](const std::string& own, const std::string& trained) {
        throw InputError(fmt::format(
            "{}: its tokens are another tokenizer's than those that {} was trained on ({} {} "
            "there, {} here): prepare the data with the tokenizer.json of training",
            file(), weights(), key, printable(trained.substr(0, 100)),
            printable(own.substr(0, 100))));
      });
    }
    both("max_tokens", [&](const std::string& own, const std::string& trained) {
      notes_.push_back(fmt::format(
          "{}: texts are cut at {} tokens, those that {} was trained on "
          "were at {}",
          file(), printable(own.substr(0, 100)), weights(), printable(trained.substr(0, 100))));
    });
  }

  Dataset& dataset_;
  const Task& task_;
  const DataUse& use_;
  const TrainedWeights& weights_;
  const ModelDescription& trained_;
  std::vector<std::string> notes_;
};

}  // namespace

void adopt_options(ConfigurationDocument& document, const TrainedWeights& weights,
                   WeightsRole role) {
  const ModelDescription& trained = weights.description();
  const ModelOptions& model = document.configuration.model;
  if (!trained.says_nothing() && trained.architecture != model.architecture) {
    throw InputError(fmt::format("model.architecture: is \"{}\", but {} is a \"{}\"",
                                 model.architecture, printable(weights.path()),
                                 printable(trained.architecture)));
  }
  for (const auto& [key, own] : function_options(model)) {
    const auto found = trained.options.find(key);
    if (found == trained.options.end() || found->second == own) continue;
    if (is_of_the_head(key) && !weights.with_head()) continue;
    adopt_option(document, key, own, found->second, weights, role);
  }
  if (trained.says_nothing()) return;
  const TaskKind kind = document.configuration.task.kind;
  if (!weights.with_head() || kind == TaskKind::kAuto || name_of(kind) == trained.task) return;
  throw InputError(fmt::format("task.kind: is \"{}\", but {} was trained for \"{}\"", name_of(kind),
                               printable(weights.path()), printable(trained.task)));
}

void check_settings(const Model& model, const TrainedWeights& weights, WeightsRole role) {
  const std::map<std::string, std::string> own = model.settings();
  for (const auto& [key, trained] : weights.description().settings) {
    const auto found = own.find(key);
    if (found == own.end() || found->second == trained) continue;
    throw InputError(fmt::format("model.config: has {} = {}, but {} was trained with {}: {}", key,
                                 found->second, printable(weights.path()), printable(trained),
                                 role == WeightsRole::kSourceTask
                                     ? "forgetting is measured on the run's own network"
                                     : "name the config.json that it was trained with"));
  }
}

std::vector<std::string> match_data(Dataset& dataset, const Task& task, const DataUse& use,
                                    const TrainedWeights& weights) {
  if (!weights.with_head()) return {};
  return Match(dataset, task, use, weights).run();
}

ModelDescription describe_model(const RunSetup& setup) {
  const Dataset& dataset = *setup.dataset;
  const ModelOptions& options = setup.configuration().model;
  const bool images = dataset.format().kind == DataKind::kImages;
  ModelDescription model;
  model.version = thaw_version();
  model.architecture = options.architecture;
  model.options = function_options(options);
  model.settings = setup.model->settings();
  model.task = name_of(setup.task->kind());
  model.classes = dataset.classes();
  model.one_class_a_sample = !setup.task->exclusive_classes().empty();
  model.targets = dataset.targets();
  model.outputs = setup.task->outputs();
  model.knows_normalisation = images;
  if (images) {
    model.channels = dataset.format().channels;
    model.height = dataset.format().height;
    model.width = dataset.format().width;
    model.pixels = dataset.format().bytes ? "bytes" : "numbers";
    model.mean = dataset.mean();
    model.std_deviation = dataset.std_deviation();
  } else {
    model.tokens = dataset.tokens();
    model.tokens["longest"] = std::to_string(dataset.split("train").longest());
    if (dataset.format().pairs) model.tokens["pairs"] = "with types";
  }
  return model;
}

}  // namespace thaw
