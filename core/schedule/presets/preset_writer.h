#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/config/configuration_document.h"
#include "core/config/problems.h"
#include "core/schedule/presets/model_parts.h"

namespace thaw {

/// A stage of a preset, with its length and rates, as settings.
struct WrittenStage {
  std::string name;
  Setting::Table rates;  ///< of its groups
  Setting::Table curve;  ///< of its own
  Setting until;
  bool continues = false;  ///< goes on with the curve of the stage before
};

/// What presets write their stages with: options of `[schedule]`, the model, and how lengths, rates
/// and curves follow from them. Constructor's arguments but for `train_samples` are borrowed.
class PresetWriter {
 public:
  PresetWriter(const ConfigurationDocument& document, const std::vector<std::string>& groups,
               std::int64_t train_samples, Problems& problems);

  const ScheduleOptions& options() const { return options_; }
  const ModelParts& parts() const { return parts_; }

  /// The stages with lengths, rates and curves as the options have them. None where something is
  /// wrong.
  std::vector<Setting> stages(const std::vector<PresetStage>& stages);

  // For presets that find lengths and rates themselves.

  Setting stage(const WrittenStage& stage) const;
  double rate_of(std::size_t group, bool final = false) const;
  Setting::Table curve() const;
  /// Whether that curve runs over a length.
  bool curve_has_end() const;
  std::int64_t steps_of_epochs(double epochs) const;
  /// A length, `{ epochs = 1.0 }`, or a plateau that it bounds.
  Setting until(const Setting::Entry& length) const;
  /// Whether `[schedule]` itself says under `key` what stages have.
  bool overlays(const std::string& key) const;
  /// `key = value`, written where the preset is named.
  template <class Value>
  Setting::Entry entry(const std::string& key, Value value) const {
    return {key, where(), {std::move(value), where()}};
  }

  /// False once something was wrong.
  bool good() const { return problems_.empty(); }
  void report(const std::string& subject, const std::string& message);
  /// Reports two options that were both given and exclude each other.
  void refuse_both(const char* a, bool has_a, const char* b, bool has_b);

 private:
  const Location& where() const { return document_.given.find("schedule.preset")->second; }
  std::vector<Setting::Entry> lengths_of(std::size_t count);
  std::vector<double> share_out(std::size_t count, double each, double total,
                                const std::string& unit);
  std::vector<Setting> untils_of(std::size_t count);
  std::string shape() const;
  Setting::Table policy() const;
  Setting::Table overlaid(const std::string& key, const Setting::Table& usual) const;

  const ConfigurationDocument& document_;
  const ScheduleOptions& options_;
  const std::vector<std::string>& groups_;
  const ModelParts parts_;
  const std::int64_t train_samples_;
  Problems& problems_;
};

}  // namespace thaw
