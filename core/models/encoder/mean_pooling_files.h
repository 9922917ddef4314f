#pragma once

#include <string>
#include <utility>
#include <vector>

namespace thaw {

class EncoderModel;

/// What tells a family's class that pools by the mean from another's.
struct MeanPoolingCode {
  /// What its encoder's constructor takes behind `config`: ", add_pooling_layer=False".
  std::string arguments = ", add_pooling_layer=False";
  /// What its forward takes besides tokens and their mask, as a tuple's items.
  std::string inputs = "\"token_type_ids\", \"position_ids\", \"inputs_embeds\"";
  /// Expression of `config` for the probability of dropout before the classifier.
  std::string dropout =
      "config.hidden_dropout_prob if config.classifier_dropout is None "
      "else config.classifier_dropout";
};

/// The module and the class in it that `mean_pooling_files` writes: "MODULE.CLASS", for `auto_map`
/// in config.json. `stem`: of the family's classes in transformers, "Bert".
std::string mean_pooling_class(const std::string& stem);

/// What an exported encoder with mean pooling needs beside its weights where transformers have no
/// such class: one of its own for transformers, and what sentence-transformers reads. `prefix`: of
/// the encoder's tensors, "bert.". Names within the folder, and texts.
std::vector<std::pair<std::string, std::string>> mean_pooling_files(const MeanPoolingCode& code,
                                                                    const std::string& stem,
                                                                    const std::string& prefix,
                                                                    const EncoderModel& model);

}  // namespace thaw
