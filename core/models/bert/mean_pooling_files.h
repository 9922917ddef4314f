#pragma once

#include <string>
#include <utility>
#include <vector>

namespace thaw {

class Bert;

/// The module and the class in it that `mean_pooling_files` writes: "MODULE.CLASS", for `auto_map`
/// in config.json.
std::string mean_pooling_class();

/// What an exported BERT with mean pooling needs beside its weights, since transformers has no such
/// class: one of its own for transformers, and what sentence-transformers reads. Names within the
/// folder, and texts.
std::vector<std::pair<std::string, std::string>> mean_pooling_files(const Bert& model);

}  // namespace thaw
