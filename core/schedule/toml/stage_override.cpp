#include "core/schedule/toml/stage_override.h"

#include <algorithm>

namespace thaw {
namespace {

Setting::Table::iterator find_entry(Setting::Table& table, const std::string& key) {
  return std::find_if(table.begin(), table.end(),
                      [&](const Setting::Entry& entry) { return entry.key == key; });
}

/// Sets the entry `key`, which stays where it was in the file; a new one goes in front of the
/// others or behind them.
void set_entry(Setting::Table& table, const std::string& key, const Setting& value, bool in_front) {
  const auto found = find_entry(table, key);
  if (found == table.end()) {
    table.insert(in_front ? table.begin() : table.end(), {key, value.where, value});
  } else {
    found->setting = value;
  }
}

/// The long form of what stands under `key`: "cosine" is { shape = "cosine" } for a curve, and a
/// learning rate 0.1 is { "*" = 0.1 }.
Setting long_form(Setting::Table& stage, const std::string& key, const Location& where) {
  const auto found = find_entry(stage, key);
  if (found == stage.end()) return {Setting::Table{}, where};
  if (found->setting.table()) return found->setting;
  const std::string inner = key == "curve" ? "shape" : "*";
  return {Setting::Table{{inner, found->where, found->setting}}, found->setting.where};
}

/// Sets what stands at the path `key`, "plateau.patience", in tables inside `table`, which are made
/// where they are missing.
void set_inside(Setting::Table& table, const std::string& key, const Setting& value) {
  const std::size_t dot = key.find('.');
  const std::string outer = key.substr(0, dot);
  if (dot == std::string::npos) {
    set_entry(table, key, value, false);
    return;
  }
  const auto found = find_entry(table, outer);
  Setting inner{Setting::Table{}, value.where};
  if (found != table.end() && found->setting.table()) inner = found->setting;
  set_inside(std::get<Setting::Table>(inner.value), key.substr(dot + 1), value);
  set_entry(table, outer, inner, false);
}

}  // namespace

void set_entry(Setting::Table& table, const Setting::Entry& entry) {
  const auto found = find_entry(table, entry.key);
  if (found == table.end()) {
    table.push_back(entry);
  } else {
    *found = entry;
  }
}

void override_stage(Setting& stage, const std::string& key, const Override& flag) {
  const Location where{stage.where.file, 0, flag.key};
  const Setting value{Setting::Text{flag.value}, where};
  auto& table = std::get<Setting::Table>(stage.value);
  const std::size_t dot = key.find('.');
  const std::string outer = key.substr(0, dot);
  const bool nested =
      outer == "until" || outer == "curve" || outer == "learning-rate" || outer == "policy";
  if (dot == std::string::npos || !nested) {
    set_entry(table, key, value, false);
    return;
  }
  const std::string inner = key.substr(dot + 1);
  const bool whole_condition = outer == "until" && inner.find('.') == std::string::npos;
  if (outer == "policy" || (outer == "until" && !whole_condition)) {
    set_inside(table, key, value);
    return;
  }
  Setting whole =
      whole_condition ? Setting{Setting::Table{}, where} : long_form(table, outer, where);
  set_entry(std::get<Setting::Table>(whole.value), inner, value, outer == "learning-rate");
  set_entry(table, outer, whole, false);
}

}  // namespace thaw
