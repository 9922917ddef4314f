#include "launch/run/evaluation_setup.h"

#include <fmt/format.h>

#include "core/record/run_folder.h"
#include "core/train/reduction_rules.h"

namespace thaw {

SetupRequest evaluation_request(const ArgumentParser::Parsed& arguments, const std::string& split) {
  SetupRequest request{arguments["CONFIG"], arguments.overrides, arguments["weights"], {split}};
  request.loaded_head = true;
  return request;
}

EvaluationSettings evaluation_settings(const Configuration& configuration) {
  const DataOptions& data = configuration.data;
  return {.batch = data.evaluation_batch > 0 ? data.evaluation_batch : data.batch,
          .read_ahead = data.read_ahead,
          .shards = canonical_shards(configuration.train)};
}

void write_text(const std::string& path, const std::string& text) {
  if (path == "-") {
    fmt::print("{}", text);
  } else {
    write_file_atomically(path, text);
  }
}

}  // namespace thaw
