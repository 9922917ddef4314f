#pragma once

#include <string>
#include <vector>

namespace thaw {

class ArgumentParser;

/// One of `thaw`'s sub-commands. Each stands in a file of its own name.
struct Subcommand {
  std::string name;
  std::string summary;                             ///< one line
  int (*run)(std::vector<std::string> arguments);  ///< returns the exit status
  /// What it takes: its help, shells' completion and the manual are made of this.
  ArgumentParser (*parser)() = nullptr;
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
int run_diff(std::vector<std::string> arguments);
int run_new(std::vector<std::string> arguments);
int run_report(std::vector<std::string> arguments);
int run_export(std::vector<std::string> arguments);
int run_launch(std::vector<std::string> arguments);
int run_completion(std::vector<std::string> arguments);
int run_man(std::vector<std::string> arguments);

ArgumentParser train_parser();
ArgumentParser check_parser();
ArgumentParser schedule_parser();
ArgumentParser compare_parser();
ArgumentParser evaluate_parser();
ArgumentParser predict_parser();
ArgumentParser generate_parser();
ArgumentParser inspect_parser();
ArgumentParser diff_parser();
ArgumentParser new_parser();
ArgumentParser report_parser();
ArgumentParser doctor_parser();
ArgumentParser scale_parser();
ArgumentParser export_parser();
ArgumentParser launch_parser();
ArgumentParser completion_parser();
ArgumentParser man_parser();

/// In the order of `thaw --help`.
const std::vector<Subcommand>& subcommands();

}  // namespace thaw
