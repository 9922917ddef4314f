#pragma once

#include <string>
#include <vector>

namespace thaw {

class SafetensorsFile;

/// The names of a classification's classes, where a config.json of Hugging Face's lies beside the
/// weights and has them as `id2label`: one for each row of the head in `file`, in its order. Empty
/// where there is no such file, or where it names others than the head's rows, or by number alone
/// ("LABEL_0"): then nothing is known.
std::vector<std::string> huggingface_labels(const SafetensorsFile& file);

/// How the tokens of a text become one vector before the head, as `model.pooling` has it, where a
/// config.json of Hugging Face's beside the weights says that they are a classifier of sequences;
/// "" where nothing says so.
std::string huggingface_pooling(const SafetensorsFile& file);

}  // namespace thaw
