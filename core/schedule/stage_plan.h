#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/fact.h"
#include "core/base/hash.h"
#include "core/config/configuration.h"
#include "core/schedule/schedule.h"

namespace thaw {

/// The element types that parameters and their gradients may have.
enum class ElementType { kFloat32, kFloat64, kBFloat16 };

/// "float32", "float64" or "bfloat16".
std::string_view name_of(ElementType type);
/// Bytes of one element.
std::size_t size_of(ElementType type);

/// What a plan needs to know of one parameter of the model, without its values.
struct ParameterFacts {
  std::string name;
  std::vector<std::int64_t> shape;
  ElementType type = ElementType::kFloat32;
  std::size_t group = 0;  ///< index among the model's groups
  bool decays = true;     ///< weight decay applies to it (biases and norms are spared by default)
  /// Index of the part of the model that holds it, of those that run one after another; unset: as
  /// `group`. It is another where the user made groups of his own.
  std::optional<std::size_t> place = {};

  std::int64_t elements() const;
  friend bool operator==(const ParameterFacts&, const ParameterFacts&) = default;
};

/// Active parameters that the optimizer updates in one call: one rate, with or without decay.
struct RateClass {
  double rate = 0;  ///< before the stage's curve
  bool decays = true;
  std::vector<std::size_t> parameters;  ///< indices into StagePlan::parameters, ascending

  friend bool operator==(const RateClass&, const RateClass&) = default;
};

/// What follows from (model, stage, configuration) and must be equal on all ranks.
///
/// An immutable value, made by `make_stage_plan` alone. See Note [Plan hashes] in stage_plan.cpp.
class StagePlan {
 public:
  /// Name of the stage.
  const std::string& stage() const { return stage_; }
  /// Active parameters, in the model's order of declaration.
  const std::vector<ParameterFacts>& parameters() const { return parameters_; }
  /// The backward cut: index of the first part of the model that holds an active parameter (see
  /// `ParameterFacts::place`); the number of groups where none is active.
  std::size_t cut() const { return cut_; }
  /// Ordered by the first parameter of each. Every active parameter is in exactly one.
  const std::vector<RateClass>& rate_classes() const { return rate_classes_; }
  /// Elements of all active parameters.
  std::int64_t elements() const;

  /// Everything the fingerprint covers, in a fixed order: what ranks compare and name when their
  /// fingerprints differ.
  const Facts& facts() const { return facts_; }
  /// Over all of `facts()`; equal plans have equal fingerprints on all hosts.
  const Fingerprint& fingerprint() const { return fingerprint_; }

 private:
  StagePlan() = default;
  friend StagePlan make_stage_plan(std::span<const std::string>, std::span<const ParameterFacts>,
                                   const Stage&, const TrainOptions&);

  std::string stage_;
  std::vector<ParameterFacts> parameters_;
  std::size_t cut_ = 0;
  std::vector<RateClass> rate_classes_;
  Facts facts_;
  Fingerprint fingerprint_;
};

/// Derives the plan of `stage` from the model's ordered group names, all its parameters, and the
/// options that the stage may override.
///
/// Throws InputError where the stage names a group that the model lacks, names one twice, or has
/// another number of learning rates than groups; where a parameter belongs to no group; where two
/// parameters share a name.
StagePlan make_stage_plan(std::span<const std::string> groups,
                          std::span<const ParameterFacts> parameters, const Stage& stage,
                          const TrainOptions& train = {});

}  // namespace thaw
