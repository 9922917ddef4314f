#pragma once

#include <string>
#include <vector>

namespace thaw {

class ArgumentParser;

/// What `thaw check` takes besides for prices: `--predict`, `--network NAME`, `--json`.
void add_price_options(ArgumentParser& parser);

/// Whether `thaw check` is asked for a price, the option abbreviated or not. False where the
/// command line is wrong: a check says what is.
bool asks_for_price(const std::vector<std::string>& arguments);

/// `thaw check --predict`, in place of the tables of a check: see Note [Who runs a price]. Returns
/// the exit status.
int run_price(std::vector<std::string> arguments);

}  // namespace thaw
