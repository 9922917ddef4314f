#pragma once

#include <string>

namespace thaw {

struct Price;

/// A price as tables for a terminal of 80 columns, with what it was found out by.
std::string price_text(const Price& price);

/// The same as one line of JSON.
std::string price_json(const Price& price);

}  // namespace thaw
