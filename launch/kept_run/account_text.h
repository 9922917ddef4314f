#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

namespace thaw {

struct RunAccount;

/// For people: state, stages, metrics, what is kept, how to go on; no line is wider than 80
/// columns, long names aside.
std::string account_text(const RunAccount& account);

/// The same for programs.
nlohmann::ordered_json account_json(const RunAccount& account);

}  // namespace thaw
