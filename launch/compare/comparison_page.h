#pragma once

#include <string>

#include "launch/compare/comparison.h"

namespace thaw {

/// One self-contained HTML page: tables, and curves of the validation accuracy over samples and
/// over operations (over seconds too where they mean something). Nothing is loaded from elsewhere.
std::string comparison_page(const Comparison& comparison);

}  // namespace thaw
