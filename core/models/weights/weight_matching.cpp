#include "core/models/weights/weight_matching.h"

#include <ATen/ops/equal.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <cstddef>

#include "core/base/error.h"
#include "core/base/glob.h"
#include "core/base/text_bytes.h"

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

/// Older files of BatchNorm do not have it, and nothing depends on it. A module in float64 has it
/// as such too.
bool is_batch_count(const std::string& name) { return name.ends_with("num_batches_tracked"); }

bool same_values(const SafetensorsFile& file, const SafetensorsEntry& a,
                 const SafetensorsEntry& b) {
  return a.dtype == b.dtype && a.shape == b.shape && at::equal(file.view(a), file.view(b));
}

}  // namespace

at::Tensor StoredPlace::view(const SafetensorsFile& file) const {
  const at::Tensor whole = file.view(*entry);
  return rows == 0 ? whole : whole.narrow(0, first_row, rows);
}

WeightMatching::WeightMatching(const std::vector<NamedTensor>& own, const SafetensorsFile& file,
                               const WeightNaming& naming, bool new_head)
    : file_(file), naming_(naming), new_head_(new_head) {
  for (const NamedTensor& item : own) {
    own_.emplace(item.name, item.tensor);
  }
  find_wrapper();
  for (const SafetensorsEntry& entry : file.entries()) {
    assign(entry);
  }
  find_stranger();
  join_ties();
  for (const NamedTensor& item : own) {
    if (!found_.contains(item.name)) {
      lacks(item.name);
    }
  }
}

void WeightMatching::throw_misfits() const {
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
  if (message.empty()) return;
  throw InputError(fmt::format(
      "{} does not fit the model:{}{}", file_.path(), message,
      classifier_misfits_ ? "\n  (model.head = \"new\" makes a classification layer of its own)"
                          : ""));
}

// --------------------------------------------------------------------------------- what names mean

bool WeightMatching::all_begin_with(const std::string& prefix) const {
  return std::all_of(file_.entries().begin(), file_.entries().end(),
                     [&](const SafetensorsEntry& entry) { return entry.name.starts_with(prefix); });
}

bool WeightMatching::is_prefix(std::string_view start) const {
  return std::find(naming_.prefixes.begin(), naming_.prefixes.end(), start) !=
         naming_.prefixes.end();
}

bool WeightMatching::own_begin_with(std::string_view prefix) const {
  return std::any_of(own_.begin(), own_.end(),
                     [&](const auto& item) { return item.first.starts_with(prefix); });
}

/// Of the wrappers that all names begin with, one in another, as many are taken off as leave the
/// most names that are known: where the model itself has a part of a wrapper's name ("model." in
/// decoders), the file's need not be a wrapper.
void WeightMatching::find_wrapper() {
  constexpr std::size_t kMost = 100;  // a single hostile name could go on and on
  std::int64_t most = known(wrapper_);
  std::string chain;
  const auto next = [&] {
    return std::find_if(kWrappers.begin(), kWrappers.end(), [&](std::string_view each) {
      return chain.size() < kMost && all_begin_with(chain + std::string(each));
    });
  };
  for (auto each = next(); each != kWrappers.end() && !file_.entries().empty(); each = next()) {
    chain += *each;
    const std::int64_t count = known(chain);
    // As many with it: a wrapper, unless it may be the model's own or its library's.
    if (count > most || (count == most && !own_begin_with(*each) && !is_prefix(*each))) {
      wrapper_ = chain;
      most = count;
    }
  }
}

/// How many of the file's names are the model's, where `wrapper` is taken off.
std::int64_t WeightMatching::known(const std::string& wrapper) const {
  const auto is_known = [&](const SafetensorsEntry& entry) {
    const Candidates candidates = meanings(entry.name.substr(wrapper.size()));
    return std::any_of(candidates.begin(), candidates.end(),
                       [&](const auto& each) { return own_.contains(each.second); });
  };
  return std::count_if(file_.entries().begin(), file_.entries().end(), is_known);
}

void WeightMatching::find_stranger() {
  const std::vector<SafetensorsEntry>& entries = file_.entries();
  if (entries.size() < 2 || !found_.empty()) return;
  const std::string bare = entries.front().name.substr(wrapper_.size());
  const std::string first = bare.substr(0, bare.find('.') + 1);
  const bool is_known = first.empty() || own_begin_with(first) || is_prefix(first);
  if (!is_known && all_begin_with(wrapper_ + first)) stranger_ = wrapper_ + first;
}

bool WeightMatching::is_classifier(const std::string& own_name) const {
  return matches_any(naming_.classifier, own_name);
}

/// The names that one without wrappers may mean, the most specific prefix first: with prefixes
/// taken off, old endings replaced, and what a file may leave out put before them.
WeightMatching::Candidates WeightMatching::meanings(const std::string& bare) const {
  Candidates result;
  for (const std::string& prefix : naming_.prefixes) {
    if (bare.starts_with(prefix)) {
      result.emplace_back(prefix, modern(bare.substr(prefix.size())));
    }
  }
  result.emplace_back("", modern(bare));
  if (!naming_.own_prefix.empty()) result.emplace_back("", naming_.own_prefix + modern(bare));
  return result;
}

std::string WeightMatching::modern(std::string name) const {
  for (const auto& [old_ending, ending] : naming_.old_endings) {
    if (name.ends_with(old_ending)) {
      return name.substr(0, name.size() - old_ending.size()) + ending;
    }
  }
  return name;
}

// ------------------------------------------------------------------------------- the file's
// tensors

void WeightMatching::assign(const SafetensorsEntry& entry) {
  const Candidates candidates = meanings(entry.name.substr(wrapper_.size()));
  if (assign_own(entry, candidates)) return;
  for (const auto& [other, name] : naming_.tied) {
    for (const auto& [prefix, candidate] : candidates) {
      if (candidate != other) continue;
      ties_.emplace_back(name, &entry);
      return;
    }
  }
  for (const auto& [prefix, name] : candidates) {
    if (assign_alias(entry, name)) return;
  }
  const bool ignored = std::any_of(candidates.begin(), candidates.end(),
                                   [&](const auto& each) { return is_ignored(each.second); });
  (ignored ? report_.ignored : unexpected_).push_back(entry.name);
}

bool WeightMatching::assign_own(const SafetensorsEntry& entry, const Candidates& candidates) {
  for (const auto& [prefix, name] : candidates) {
    if (!own_.contains(name) || (new_head_ && is_classifier(name))) continue;
    if (is_taken(name, {.entry = &entry})) return true;
    if (prefix_.empty()) prefix_ = prefix;
    compare(entry, name, entry.shape);
    return true;
  }
  return false;
}

bool WeightMatching::is_ignored(const std::string& name) const {
  return is_batch_count(name) || matches_any(naming_.ignored, name) ||
         (new_head_ && (is_classifier(name) || matches_any(kUsualClassifiers, name)));
}

/// Notes where a tensor of the model's lies, but where another has its place already.
bool WeightMatching::is_taken(const std::string& name, const StoredPlace& place) {
  const auto [at, is_new] = found_.emplace(name, place);
  if (!is_new) {
    wrong_.push_back(
        fmt::format("{} (the file has it as {} too)", place.entry->name, at->second.entry->name));
    return true;
  }
  report_.names[name] = place.entry->name;
  return false;
}

/// Assigns an entry that another library calls `name`; false where it is none of the model's.
bool WeightMatching::assign_alias(const SafetensorsEntry& entry, const std::string& name) {
  for (const WeightAlias& alias : naming_.aliases) {
    const std::vector<std::string> names = alias.own_names(name);
    const bool all_own = std::all_of(names.begin(), names.end(), [&](const std::string& each) {
      return own_.contains(each) && !(new_head_ && is_classifier(each));
    });
    if (names.empty() || !all_own) continue;
    by_alias_ = true;
    std::vector<std::int64_t> shape = entry.shape;  // of each
    for (std::int64_t i = 0; i < alias.ones && shape.size() > 1 && shape.back() == 1; ++i) {
      shape.pop_back();
    }
    const auto parts = static_cast<std::int64_t>(names.size());
    const bool divides = parts > 1 && !shape.empty() && shape[0] % parts == 0;
    if (divides) shape[0] /= parts;
    for (std::int64_t i = 0; i < parts; ++i) {
      const std::string& each = names[static_cast<std::size_t>(i)];
      const StoredPlace place =
          divides ? StoredPlace{&entry, i * shape[0], shape[0]} : StoredPlace{.entry = &entry};
      if (is_taken(each, place)) return true;
      compare(entry, each, shape);
    }
    return true;
  }
  return false;
}

/// What the file has under the other name of a tied tensor: the tensor, or a copy of it. Another
/// one means that the file is not of a model with such a tie, of which one of the two would be
/// lost.
void WeightMatching::join_ties() {
  for (const auto& [name, entry] : ties_) {
    const auto [at, is_new] = found_.emplace(name, StoredPlace{.entry = entry});
    if (is_new) {
      report_.names[name] = entry->name;
      compare(*entry, name, entry->shape);
    } else if (same_values(file_, *at->second.entry, *entry)) {
      report_.ignored.push_back(entry->name);
    } else {
      wrong_.push_back(fmt::format(
          "{} (differs from {}, which it is by config.json's tie_word_embeddings: say false "
          "there, or take it out of the file)",
          entry->name, at->second.entry->name));
    }
  }
}

/// `shape`: of the entry, or of the part of it that is `name`.
void WeightMatching::compare(const SafetensorsEntry& entry, const std::string& name,
                             const std::vector<std::int64_t>& shape) {
  const at::Tensor& own = own_.at(name);
  if (at::IntArrayRef(shape) != own.sizes()) {
    wrong_.push_back(fmt::format("{} ([{}] in the file, [{}] in the model{})", entry.name,
                                 fmt::join(entry.shape, ", "), fmt::join(own.sizes(), ", "),
                                 shape == entry.shape ? "" : " as a part of it, " + name));
    classifier_misfits_ |= is_classifier(name);
  } else if (at::isFloatingType(entry.dtype) != own.is_floating_point() && !is_batch_count(name)) {
    wrong_.push_back(
        fmt::format("{} ({} in the file)", entry.name, safetensors_dtype(entry.dtype)));
  }
}

// --------------------------------------------------------------------------- what the file lacks

/// What the file's library would call a tensor that the file lacks.
std::string WeightMatching::name_in_file(const std::string& own_name,
                                         const std::string& prefix) const {
  for (const WeightAlias& alias : naming_.aliases) {
    if (!by_alias_ || alias.own.size() != 1) continue;
    if (const auto theirs = alias.their_name(own_name)) return wrapper_ + *theirs;
  }
  return wrapper_ + prefix + own_name;
}

void WeightMatching::lacks(const std::string& name) {
  if (is_batch_count(name)) {
    report_.names[name] = "";  // so that saving leaves it out again
  } else if (new_head_ && is_classifier(name)) {
    report_.names[name] = name_in_file(name, "");  // sources put no prefix before the classifier
    report_.initial.push_back(name);
  } else if (matches_any(naming_.optional, name)) {
    report_.names[name] = name_in_file(name, prefix_);
    report_.initial.push_back(name);
  } else {
    missing_.push_back(name);
    classifier_misfits_ |= is_classifier(name);
  }
}

}  // namespace thaw
