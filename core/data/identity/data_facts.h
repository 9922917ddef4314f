#pragma once

#include <map>
#include <string>

#include "core/base/fact.h"
#include "core/base/hash.h"

namespace thaw {

class Dataset;

/// All of a dataset that a training on some of its splits depends on, as facts that ranks, a
/// checkpoint and a later run compare: names of classes and targets, task, normalisation,
/// tokenizer, and of each of these splits the samples with their labels. `contents`: the
/// fingerprint, in hexadecimal, of what the samples of each split hold (Note [Fingerprints of
/// content]), "" where nobody asks. Other splits do not count, but for what the number of classes
/// owes to their labels where the files do not name them.
///
/// A split that was narrowed counts as the whole one that its samples were chosen from.
Facts data_facts(const Dataset& dataset, const std::map<std::string, std::string>& contents);

/// The subject of the facts about the dataset as a whole, and of those about one split.
inline constexpr const char* kDataSubject = "data.file";
std::string split_subject(const std::string& split);

}  // namespace thaw
