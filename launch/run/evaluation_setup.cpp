#include "launch/run/evaluation_setup.h"

#include <fmt/format.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "core/base/error.h"
#include "core/base/given_output.h"
#include "core/base/json_fields.h"
#include "core/data/dataset.h"
#include "core/models/model.h"
#include "core/models/model_bytes.h"
#include "core/parallel/agreement.h"
#include "core/record/report_json.h"
#include "core/tasks/task.h"
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

nlohmann::ordered_json evaluation_line(const Task& task, const Measurement& sums,
                                       const std::string& split, double seconds) {
  nlohmann::ordered_json line{{"split", split}, {"loss", json_number(sums.mean_loss())}};
  add_figures(task.named_figures(sums), line);
  line.update({{"samples", sums.samples}, {"seconds", seconds}});
  return line;
}

void require_finite_loss(const Measurement& sums, const std::string& split) {
  if (std::isfinite(sums.mean_loss())) return;
  throw RunError(fmt::format(
      "the loss over split \"{}\" is {}: outputs for some of its samples are no numbers", split,
      sums.mean_loss()));
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

std::int64_t retention_bytes(const RunSetup& setup) {
  return setup.configuration().forgetting.data.empty() ? 0 : 2 * bytes_of_model(*setup.model);
}

}  // namespace thaw
