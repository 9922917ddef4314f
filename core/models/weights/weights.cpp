#include "core/models/weights/weights.h"

#include <ATen/core/grad_mode.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <torch/nn/module.h>

#include <algorithm>
#include <array>
#include <optional>

#include "core/base/error.h"
#include "core/base/glob.h"
#include "core/base/text_bytes.h"
#include "core/config/configuration.h"
#include "core/models/model.h"
#include "core/parallel/stage_coordinator.h"

namespace thaw {
namespace {

/// What wrappers put before every name of what they wrap, in each other too: DataParallel and
/// DistributedDataParallel, torch.compile, Lightning.
constexpr std::array<std::string_view, 3> kWrappers = {"module.", "_orig_mod.", "model."};

/// Classification layers as the usual sources name them, passed over where a new one is made.
const std::vector<std::string> kUsualClassifiers = {"classifier.*", "fc.*",         "linear.*",
                                                    "score.*",      "qa_outputs.*", "head.*"};

bool matches_any(const std::vector<std::string>& patterns, const std::string& name) {
  return std::any_of(patterns.begin(), patterns.end(),
                     [&](const std::string& pattern) { return glob_match(pattern, name); });
}

/// Older files of BatchNorm do not have it, and nothing depends on it.
bool is_batch_count(const std::string& name) { return name.ends_with("num_batches_tracked"); }

std::vector<NamedTensor> tensors_of(const torch::nn::Module& module) {
  std::vector<NamedTensor> tensors;
  for (const auto& item : module.named_parameters()) {
    tensors.push_back({item.key(), item.value()});
  }
  for (const auto& item : module.named_buffers()) {
    tensors.push_back({item.key(), item.value()});
  }
  return tensors;
}

/// Everything that is wrong with a file for a model, told at once.
class Misfits {
 public:
  void missing(const std::string& name) { missing_.push_back(name); }
  void unexpected(const std::string& name) { unexpected_.push_back(name); }
  void wrong(const std::string& what) { wrong_.push_back(what); }

  void throw_if_any(const std::string& path, const std::string& hint) const {
    std::string message;
    const auto add = [&](const char* title, const std::vector<std::string>& names) {
      if (!names.empty()) {
        message += fmt::format("\n  {} ({}): {}", title, names.size(),
                               printable(fmt::format("{}", fmt::join(names, ", "))));
      }
    };
    add("missing in the file", missing_);
    add("unexpected in the file", unexpected_);
    add("of another shape or type", wrong_);
    if (!message.empty()) {
      throw InputError(fmt::format("{} does not fit the model:{}{}", path, message, hint));
    }
  }

 private:
  std::vector<std::string> missing_, unexpected_, wrong_;
};

/// Finds which of the file's tensors is which of the model's.
class Matching {
 public:
  Matching(const std::vector<NamedTensor>& own, const SafetensorsFile& file,
           const WeightNaming& naming, bool new_head)
      : naming_(naming), new_head_(new_head) {
    for (const NamedTensor& item : own) {
      own_.emplace(item.name, item.tensor);
    }
    find_wrapper(file.entries());
    for (const SafetensorsEntry& entry : file.entries()) {
      assign(entry);
    }
    find_stranger(file.entries());
    for (const NamedTensor& item : own) {
      if (!found_.contains(item.name)) {
        lacks(item.name);
      }
    }
  }

  const std::map<std::string, const SafetensorsEntry*>& found() const { return found_; }
  const Misfits& misfits() const { return misfits_; }
  bool classifier_misfits() const { return classifier_misfits_; }
  LoadReport take_report() { return std::move(report_); }
  /// What all names in the file begin with and none of the model's does, where that is why nothing
  /// fits; else "".
  const std::string& stranger() const { return stranger_; }

 private:
  static bool all_begin_with(const std::vector<SafetensorsEntry>& entries,
                             const std::string& prefix) {
    return std::all_of(entries.begin(), entries.end(), [&](const SafetensorsEntry& entry) {
      return entry.name.starts_with(prefix);
    });
  }
  bool own_begin_with(std::string_view prefix) const {
    return std::any_of(own_.begin(), own_.end(),
                       [&](const auto& item) { return item.first.starts_with(prefix); });
  }

  /// A wrapper's name is none where the model itself has a part of that name.
  void find_wrapper(const std::vector<SafetensorsEntry>& entries) {
    constexpr std::size_t kMost = 100;  // a single hostile name could go on and on
    for (bool found = !entries.empty(); found && wrapper_.size() < kMost;) {
      found = false;
      for (const std::string_view each : kWrappers) {
        const std::string longer = wrapper_ + std::string(each);
        if (found || own_begin_with(each) || !all_begin_with(entries, longer)) continue;
        wrapper_ = longer;
        found = true;
      }
    }
  }

  void find_stranger(const std::vector<SafetensorsEntry>& entries) {
    if (entries.size() < 2 || !found_.empty()) return;
    const std::string bare = entries.front().name.substr(wrapper_.size());
    const std::string first = bare.substr(0, bare.find('.') + 1);
    const bool known = first.empty() || own_begin_with(first) ||
                       std::find(naming_.prefixes.begin(), naming_.prefixes.end(), first) !=
                           naming_.prefixes.end();
    if (!known && all_begin_with(entries, wrapper_ + first)) stranger_ = wrapper_ + first;
  }

  bool is_classifier(const std::string& own_name) const {
    return matches_any(naming_.classifier, own_name);
  }

  /// The names that an entry may mean, the most specific prefix first: with prefixes taken off and
  /// old endings replaced.
  std::vector<std::pair<std::string, std::string>> meanings(const std::string& name) const {
    const std::string bare = name.substr(wrapper_.size());
    std::vector<std::pair<std::string, std::string>> result;
    for (const std::string& prefix : naming_.prefixes) {
      if (bare.starts_with(prefix)) {
        result.emplace_back(prefix, modern(bare.substr(prefix.size())));
      }
    }
    result.emplace_back("", modern(bare));
    return result;
  }

  std::string modern(std::string name) const {
    for (const auto& [old_ending, ending] : naming_.old_endings) {
      if (name.ends_with(old_ending)) {
        return name.substr(0, name.size() - old_ending.size()) + ending;
      }
    }
    return name;
  }

  void assign(const SafetensorsEntry& entry) {
    const auto candidates = meanings(entry.name);
    for (const auto& [prefix, name] : candidates) {
      const auto own = own_.find(name);
      if (own == own_.end() || (new_head_ && is_classifier(name))) {
        continue;
      }
      const auto [at, is_new] = found_.emplace(name, &entry);
      if (!is_new) {
        misfits_.wrong(fmt::format("{} (the file has it as {} too)", entry.name, at->second->name));
        return;
      }
      if (prefix_.empty()) {
        prefix_ = prefix;
      }
      report_.names[name] = entry.name;
      compare(entry, name, own->second);
      return;
    }
    for (const auto& [prefix, name] : candidates) {
      if (is_batch_count(name) || matches_any(naming_.ignored, name) ||
          (new_head_ && (is_classifier(name) || matches_any(kUsualClassifiers, name)))) {
        report_.ignored.push_back(entry.name);
        return;
      }
    }
    misfits_.unexpected(entry.name);
  }

  void compare(const SafetensorsEntry& entry, const std::string& name, const at::Tensor& own) {
    if (at::IntArrayRef(entry.shape) != own.sizes()) {
      misfits_.wrong(fmt::format("{} ([{}] in the file, [{}] in the model)", entry.name,
                                 fmt::join(entry.shape, ", "), fmt::join(own.sizes(), ", ")));
      classifier_misfits_ |= is_classifier(name);
    } else if (at::isFloatingType(entry.dtype) != own.is_floating_point()) {
      misfits_.wrong(
          fmt::format("{} ({} in the file)", entry.name, safetensors_dtype(entry.dtype)));
    }
  }

  /// Notes what the file does not set.
  void lacks(const std::string& name) {
    if (is_batch_count(name)) {
      report_.names[name] = "";  // so that saving leaves it out again
    } else if (new_head_ && is_classifier(name)) {
      report_.names[name] = wrapper_ + name;  // sources put no prefix before the classifier
      report_.initial.push_back(name);
    } else if (matches_any(naming_.optional, name)) {
      report_.names[name] = wrapper_ + prefix_ + name;
      report_.initial.push_back(name);
    } else {
      misfits_.missing(name);
      classifier_misfits_ |= is_classifier(name);
    }
  }

  const WeightNaming& naming_;
  bool new_head_;
  std::map<std::string, at::Tensor> own_;
  std::string wrapper_;
  std::string stranger_;
  std::string prefix_;  ///< the first that was met
  std::map<std::string, const SafetensorsEntry*> found_;
  Misfits misfits_;
  bool classifier_misfits_ = false;
  LoadReport report_;
};

/// Throws InputError for a value that is no number or infinite. `own`: what will hold it.
void require_finite(const SafetensorsFile& file, const SafetensorsEntry& entry,
                    const at::Tensor& own) {
  if (!own.is_floating_point()) return;
  const at::Tensor values = file.view(entry).to(own.scalar_type());
  const at::Tensor bad = values.isfinite().logical_not().flatten();
  if (!bad.any().item<bool>()) return;
  const auto at = bad.to(at::kByte).argmax().item<std::int64_t>();
  throw InputError(
      fmt::format("{}: tensor {}: its value {} of {} is {} as {}; whatever a network computes with "
                  "it is no number: take weights from before that",
                  file.path(), printable(entry.name), at, bad.numel(),
                  values.flatten()[at].item<double>(), c10::toString(own.scalar_type())));
}

}  // namespace

LoadReport load_weights(torch::nn::Module& module, const SafetensorsFile& file,
                        const WeightNaming& naming, bool new_head) {
  const std::vector<NamedTensor> own = tensors_of(module);
  Matching matching(own, file, naming, new_head);
  if (const std::string& prefix = matching.stranger(); !prefix.empty()) {
    throw InputError(fmt::format(
        "{}: the names of all {} tensors begin with \"{}\", a prefix that the model does not know; "
        "save them without it (Python: {{name.removeprefix(\"{}\"): tensor for name, tensor in "
        "tensors.items()}})",
        file.path(), file.entries().size(), printable(prefix), printable(prefix)));
  }
  matching.misfits().throw_if_any(
      file.path(), matching.classifier_misfits()
                       ? "\n  (model.head = \"new\" makes a classification layer of its own)"
                       : "");
  const at::NoGradGuard no_grad;
  for (const NamedTensor& item : own) {
    const auto found = matching.found().find(item.name);
    if (found != matching.found().end()) require_finite(file, *found->second, item.tensor);
  }
  for (const NamedTensor& item : own) {
    if (const auto found = matching.found().find(item.name); found != matching.found().end()) {
      at::Tensor(item.tensor).copy_(file.view(*found->second));
    }
  }
  return matching.take_report();
}

LoadReport load_weights(Model& model, const SafetensorsFile& file, const ModelOptions& options) {
  LoadReport report = load_weights(static_cast<torch::nn::Module&>(model), file,
                                   model.weight_naming(), options.head == HeadSource::kNew);
  model.weights_changed();
  return report;
}

void save_weights(const std::string& path, const torch::nn::Module& module,
                  const WeightNames& names, const ModelDescription& description) {
  std::vector<SafetensorsItem> items;
  for (const NamedTensor& own : tensors_of(module)) {
    const auto known = names.find(own.name);
    const std::string& name = known == names.end() ? own.name : known->second;
    if (name.empty()) {
      continue;
    }
    const bool to_float = own.tensor.is_floating_point() && own.tensor.scalar_type() != at::kDouble;
    items.push_back({name, own.tensor, to_float ? std::optional(at::kFloat) : std::nullopt});
  }
  write_safetensors(path, items, description_metadata(description));
}

}  // namespace thaw
