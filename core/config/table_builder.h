#pragma once

#include <string>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include "core/config/model_families.h"
#include "core/config/option_table.h"

// How core/config/options.cpp writes the rows of Note [One table of options].

namespace thaw {

/// The structure of `document` that is one section of the file.
template <class Section, class Document>
auto& section_of(Document& document) {
  auto& configuration = document.configuration;
  if constexpr (std::is_same_v<Section, ModelOptions>) return configuration.model;
  if constexpr (std::is_same_v<Section, DataOptions>) return configuration.data;
  if constexpr (std::is_same_v<Section, TaskOptions>) return configuration.task;
  if constexpr (std::is_same_v<Section, TrainOptions>) return configuration.train;
  if constexpr (std::is_same_v<Section, CheckpointOptions>) return configuration.checkpoint;
  if constexpr (std::is_same_v<Section, DistributedOptions>) return configuration.distributed;
  if constexpr (std::is_same_v<Section, ForgettingOptions>) return configuration.forgetting;
  if constexpr (std::is_same_v<Section, OutputOptions>) return configuration.output;
  if constexpr (std::is_same_v<Section, ScheduleOptions>) return document.schedule;
}

/// A member as the table shows it, and back: an enumeration goes by its name.
template <class Member>
OptionValue value_of(const Member& member) {
  if constexpr (Named<Member>) {
    return std::string(name_of(member));
  } else {
    return member;
  }
}
template <class Member>
Member member_of(const OptionValue& value) {
  if constexpr (Named<Member>) {
    return named<Member>(std::get<std::string>(value)).value();
  } else {
    return std::get<Member>(value);
  }
}

/// Must be given; or else the option `told_by`, if it names one, whose file tells it.
struct Required {
  const char* told_by = "";
};
using Choices = std::vector<std::string>;
struct Texts {};  ///< a list of texts, not of files
using Rule = std::variant<std::monostate, Required, Choices, Range, Texts>;

/// Collects the rows of one section after another. Used on one thread.
class TableBuilder {
 public:
  /// Of the rows from now on.
  void section(std::string name) { section_ = std::move(name); }

  /// A row for a member of a section's structure, whose default is the option's.
  template <class Section, class Member>
  void add(Member Section::*member, std::string key, std::string unit, std::string help,
           const Rule& rule = {}) {
    Option option;
    option.section = section_;
    option.key = std::move(key);
    option.unit = std::move(unit);
    option.help = std::move(help);
    if (section_ == "model") name_families(option);
    if (const auto* required = std::get_if<Required>(&rule)) {
      option.required = true;
      option.told_by = required->told_by;
    }
    if (const auto* choices = std::get_if<Choices>(&rule)) option.choices = *choices;
    option.texts = std::holds_alternative<Texts>(rule);
    if (const auto* range = std::get_if<Range>(&rule)) option.range = *range;
    if constexpr (Named<Member>) {
      for (const std::string_view name : names_of(Member{})) option.choices.emplace_back(name);
    }
    option.get = [member](const ConfigurationDocument& document) {
      return value_of(section_of<Section>(document).*member);
    };
    option.set = [member](ConfigurationDocument& document, const OptionValue& value) {
      section_of<Section>(document).*member = member_of<Member>(value);
    };
    table_.push_back(std::move(option));
  }

  /// All rows.
  std::vector<Option> take() { return std::move(table_); }

 private:
  /// Says which families of models read the option, where not all do.
  static void name_families(Option& option) {
    const std::string families = families_with(option.key);
    if (!families.empty()) option.help += " (" + families + ")";
  }

  std::string section_;
  std::vector<Option> table_;
};

}  // namespace thaw
