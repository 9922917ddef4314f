#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/models/weights/safetensors.h"
#include "core/models/weights/weight_naming.h"
#include "core/models/weights/weights.h"

namespace thaw {

/// Where in a file a tensor of the model's lies: an entry, or some of its rows.
struct StoredPlace {
  const SafetensorsEntry* entry = nullptr;
  std::int64_t first_row = 0;
  std::int64_t rows = 0;  ///< 0: all there is

  at::Tensor view(const SafetensorsFile& file) const;
};

/// Finds which of a file's tensors is which of a model's. Reads nothing but the header, unless the
/// file has a tied tensor twice. All that it is made from must outlive it.
class WeightMatching {
 public:
  WeightMatching(const std::vector<NamedTensor>& own, const SafetensorsFile& file,
                 const WeightNaming& naming, bool new_head);

  /// By the model's names.
  const std::map<std::string, StoredPlace>& found() const { return found_; }
  LoadReport take_report() { return std::move(report_); }
  /// What all names in the file begin with and none of the model's does, where that is why nothing
  /// fits; else "".
  const std::string& stranger() const { return stranger_; }
  /// Throws one InputError for everything that is wrong with the file for the model, if anything.
  void throw_misfits() const;

 private:
  using Candidates = std::vector<std::pair<std::string, std::string>>;  ///< prefix, name

  bool all_begin_with(const std::string& prefix) const;
  bool own_begin_with(std::string_view prefix) const;
  bool is_prefix(std::string_view start) const;
  void find_wrapper();
  std::int64_t known(const std::string& wrapper) const;
  void find_stranger();
  bool is_classifier(const std::string& own_name) const;
  Candidates meanings(const std::string& bare) const;
  std::string modern(std::string name) const;

  void assign(const SafetensorsEntry& entry);
  bool assign_own(const SafetensorsEntry& entry, const Candidates& candidates);
  bool assign_alias(const SafetensorsEntry& entry, const std::string& name);
  bool is_ignored(const std::string& name) const;
  bool is_taken(const std::string& name, const StoredPlace& place);
  void join_ties();
  void compare(const SafetensorsEntry& entry, const std::string& name,
               const std::vector<std::int64_t>& shape);
  std::string name_in_file(const std::string& own_name, const std::string& prefix) const;
  void lacks(const std::string& name);

  const SafetensorsFile& file_;
  const WeightNaming& naming_;
  bool new_head_;
  std::map<std::string, at::Tensor> own_;
  std::string wrapper_;
  std::string stranger_;
  std::string prefix_;     ///< the first that was met
  bool by_alias_ = false;  ///< the file has another library's names
  std::map<std::string, StoredPlace> found_;
  std::vector<std::pair<std::string, const SafetensorsEntry*>> ties_;  ///< by the model's name
  std::vector<std::string> missing_, unexpected_, wrong_;
  bool classifier_misfits_ = false;
  LoadReport report_;
};

}  // namespace thaw
