#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace thaw {

/// The split that is meant by `name`, in whatever case: `val`, `valid` and `dev` are `validation`,
/// `training` is `train`, `testing` is `test`; "" for any other. What could be either, such as
/// `eval`, is none of them. The same as launch/preparation/splits.py has it.
std::string split_meant(std::string_view name);

/// What validation and training splits may be called, for messages.
constexpr const char* kSplitNames =
    "train (training), validation (val, valid, dev), test (testing)";

/// Throws InputError, which begins with `path`, where two of a file's `names` mean the same split.
void require_one_name_a_split(const std::vector<std::string>& names, const std::string& path);

}  // namespace thaw
