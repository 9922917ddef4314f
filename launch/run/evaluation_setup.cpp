#include "launch/run/evaluation_setup.h"

#include <fmt/format.h>

#include "core/base/given_output.h"
#include "core/data/dataset.h"
#include "core/models/model.h"
#include "core/parallel/agreement.h"
#include "core/train/boundary_measurements.h"
#include "launch/kept_run/kept_run.h"
#include "launch/run/file_deadline.h"
#include "launch/run/run_setup.h"

namespace thaw {

SetupRequest evaluation_request(const ArgumentParser::Parsed& arguments, const std::string& split,
                                FileDeadline& files, Communicator& communicator) {
  const WorkSource source = work_source(arguments["CONFIG"], arguments.overrides,
                                        arguments["weights"], {.data = true}, communicator);
  SetupRequest request{source.configuration, source.overrides, source.weights, {split}};
  request.loaded_head = true;
  request.configured = files.by_configuration();
  return request;
}

void write_text(const std::string& path, const std::string& text) {
  if (path == "-") {
    fmt::print("{}", text);
  } else {
    write_given_output(path, text);
  }
}

std::unique_ptr<Forgetting> make_forgetting(const RunSetup& setup, Communicator& communicator) {
  const Configuration& configuration = setup.configuration();
  const ForgettingOptions& options = configuration.forgetting;
  if (options.data.empty()) {
    return nullptr;
  }
  const RunSetup source = set_up_source_task(setup, communicator);
  setup.model->eval();
  std::unique_ptr<Forgetting> forgetting = agreed(communicator, [&] {
    return std::make_unique<Forgetting>(
        *setup.model,
        SourceTask{.model = source.model,
                   .dataset = source.dataset,
                   .split = options.split,
                   .task = source.task},
        *setup.dataset,
        Forgetting::Settings{
            .evaluation = evaluation_settings(configuration.data, configuration.train),
            .samples = options.samples});
  });
  forgetting->start(communicator);
  return forgetting;
}

}  // namespace thaw
