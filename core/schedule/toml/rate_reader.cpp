#include "core/schedule/toml/rate_reader.h"

#include <fmt/format.h>

#include <cmath>

#include "core/config/option_table.h"
#include "core/config/toml_text.h"
#include "core/schedule/group_patterns.h"

namespace thaw {
namespace {

using Rates = std::optional<std::vector<double>>;

class RateReader {
 public:
  RateReader(const std::string& subject, const std::vector<std::size_t>& active,
             const std::vector<std::string>& model_groups, Problems& problems)
      : subject_(subject), active_(active), model_groups_(model_groups), problems_(problems) {}

  Rates read(const Setting& setting) {
    if (setting.find("discriminative")) return read_discriminative(setting);
    if (setting.table()) return read_table(setting);
    const auto rate = read_number("learning-rate", setting, subject_);
    return rate ? Rates(std::vector<double>(active_.size(), *rate)) : std::nullopt;
  }

 private:
  /// A number with the bounds of the option `key` of `[schedule]`.
  std::optional<double> read_number(std::string_view key, const Setting& setting,
                                    const std::string& subject) {
    const auto value = read_value(*find_option("schedule", key), setting, subject, problems_);
    return value ? std::optional(std::get<double>(*value)) : std::nullopt;
  }

  Rates read_discriminative(const Setting& setting) {
    std::optional<double> base, factor;
    bool alone = true;
    for (const Setting::Entry& entry : *setting.table()) {
      const std::string name = subject_ + "." + entry.key;
      if (entry.key == "base") {
        base = read_number("learning-rate", entry.setting, name);
      } else if (entry.key == "discriminative") {
        factor = read_number("discriminative", entry.setting, name);
      } else {
        problems_.add(entry.where, name, "cannot stand beside discriminative; only base can");
        alone = false;
      }
    }
    if (!setting.find("base")) {
      problems_.add(setting.where, subject_, "discriminative needs a base beside it");
    }
    if (!base || !factor || !alone) return std::nullopt;
    const double most = find_option("schedule", "learning-rate")->range->most;
    std::vector<double> rates;
    for (const std::size_t group : active_) {
      const double rate = *base / std::pow(*factor, static_cast<double>(active_.back() - group));
      if (rate <= most) {
        rates.push_back(rate);
        continue;
      }
      problems_.add(setting.where, subject_,
                    fmt::format("gives {} the rate {}: at most {}", model_groups_[group],
                                toml_text(rate), most));
      return std::nullopt;
    }
    return rates;
  }

  Rates read_table(const Setting& setting) {
    bool good = true;
    std::vector<std::optional<double>> of_group(model_groups_.size());
    for (const auto& [pattern, where, value] : pattern_entries(setting)) {
      const auto groups = matching_groups(pattern, model_groups_);
      if (groups.empty()) problems_.add(where, subject_, no_group_matches(pattern, model_groups_));
      const auto rate =
          read_number("learning-rate", *value, fmt::format("{}.{}", subject_, toml_key(pattern)));
      good = good && rate && !groups.empty();
      for (const std::size_t group : groups) {
        if (!of_group[group]) of_group[group] = rate;
      }
    }
    if (!good) return std::nullopt;
    std::vector<double> rates;
    std::vector<std::string> without;
    for (const std::size_t group : active_) {
      if (of_group[group]) {
        rates.push_back(*of_group[group]);
      } else {
        without.push_back(model_groups_[group]);
      }
    }
    if (without.empty()) return rates;
    problems_.add(
        setting.where, subject_,
        fmt::format("gives no rate to {}, which this stage trains", list_groups(without)));
    return std::nullopt;
  }

  const std::string& subject_;
  const std::vector<std::size_t>& active_;
  const std::vector<std::string>& model_groups_;
  Problems& problems_;
};

}  // namespace

Rates read_learning_rates(const Setting& setting, const std::string& subject,
                          const std::vector<std::size_t>& active,
                          const std::vector<std::string>& model_groups, Problems& problems) {
  return RateReader(subject, active, model_groups, problems).read(setting);
}

}  // namespace thaw
