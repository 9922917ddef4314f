#pragma once

#include <map>
#include <string>
#include <utility>
#include <vector>

namespace thaw {

class Hdf5File;
struct SampleFormat;

/// What a data file says about itself.
struct DatasetAttributes {
  std::vector<std::string> classes;  ///< names; empty where the file has none
  std::vector<std::string> targets;  ///< names of the numbers to be learnt, likewise
  std::string task;                  ///< what is learnt, by its name; "" where the file has none
  std::vector<double> mean;          ///< a number a channel; empty where the file has none
  std::vector<double> std_deviation;
  /// What is said of the tokenizer that made the tokens: "tokenizer_sha256", "max_tokens", …
  std::map<std::string, std::string> tokens = {};
  std::vector<std::pair<std::string, std::string>> remarks;  ///< other attributes, for people
};

/// Throws `InputError` for attributes that have the wrong dtype, are empty, or are no UTF-8, and
/// for two classes or targets of one name.
DatasetAttributes read_attributes(const Hdf5File& file);

/// Throws `InputError` that begins with `where` and says which two of `names` are one.
void require_distinct(const std::vector<std::string>& names, const std::string& where);

/// Throws `InputError` where `mean` and `std` do not fit samples of `format`. `file`: for messages.
void check_normalisation(const DatasetAttributes& attributes, const SampleFormat& format,
                         const std::string& file);

}  // namespace thaw
