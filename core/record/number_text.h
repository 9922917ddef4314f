#pragma once

#include <string>

namespace thaw {

/// For tables and axes, to `digits` significant ones; counts of thousands and of up to ten millions
/// whole: 0.8912, 18006, 1.865e+13.
std::string number_text(double value, int digits = 4);

}  // namespace thaw
