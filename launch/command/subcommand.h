#pragma once

#include <string>
#include <vector>

namespace thaw {

/// One of `thaw`'s sub-commands. Each stands in a file of its own name.
struct Subcommand {
  std::string name;
  std::string summary;                             ///< one line
  int (*run)(std::vector<std::string> arguments);  ///< returns the exit status
};

int run_train(std::vector<std::string> arguments);
int run_check(std::vector<std::string> arguments);
int run_schedule(std::vector<std::string> arguments);
int run_compare(std::vector<std::string> arguments);
int run_evaluate(std::vector<std::string> arguments);
int run_predict(std::vector<std::string> arguments);
int run_generate(std::vector<std::string> arguments);
int run_inspect(std::vector<std::string> arguments);
int run_doctor(std::vector<std::string> arguments);
int run_scale(std::vector<std::string> arguments);
int run_export(std::vector<std::string> arguments);
int run_launch(std::vector<std::string> arguments);

/// In the order of `thaw --help`.
const std::vector<Subcommand>& subcommands();

}  // namespace thaw
