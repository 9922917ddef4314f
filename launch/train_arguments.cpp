#include "launch/train_arguments.h"

#include <filesystem>

namespace thaw {

ArgumentParser train_parser() {
  ArgumentParser parser("train CONFIG.toml [--SECTION.KEY VALUE ...] [--run-dir DIR]",
                        "Trains as the configuration says. SIGUSR1, SIGTERM, Ctrl-C or the file "
                        "DIR/stop ask it to stop: it saves and ends with status 75, and the same "
                        "command goes on.");
  parser.positional("CONFIG", "the configuration file");
  parser.option("run-dir", "where the run is kept; default: output.run-dir, or runs/NAME");
  parser.option("resume",
                "auto: from the newest good checkpoint of the run folder, else from the start; "
                "never; or the path of a checkpoint",
                "auto");
  parser.takes_configuration();
  return parser;
}

RunFolder run_folder(const ArgumentParser::Parsed& arguments, const Configuration& configuration) {
  if (!arguments["run-dir"].empty()) {
    return RunFolder(arguments["run-dir"]);
  }
  if (!configuration.output.run_dir.empty()) {
    return RunFolder(configuration.output.run_dir);
  }
  return RunFolder(std::filesystem::path("runs") /
                   std::filesystem::path(arguments["CONFIG"]).stem());
}

}  // namespace thaw
