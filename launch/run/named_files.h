#pragma once

#include <string_view>

namespace thaw {

struct ConfigurationDocument;

/// Throws InputError for a file that a configuration names and that is not there, where the
/// comments that the file begins with, in `text`, tell where it comes from: they name it, or its
/// folder. Other files are left to who reads them, and so is what a flag names. Looks at the file
/// system, so for one rank.
void require_described_files(std::string_view text, const ConfigurationDocument& document);

}  // namespace thaw
