#include <ATen/core/Tensor.h>
#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "core/base/error.h"
#include "core/base/given_output.h"
#include "core/data/dataset.h"
#include "core/measure/evaluator.h"
#include "core/models/family.h"
#include "core/models/model.h"
#include "core/parallel/one_rank.h"
#include "core/tasks/task.h"
#include "core/train/boundary_measurements.h"
#include "launch/command/arguments.h"
#include "launch/command/subcommand.h"
#include "launch/job/job.h"
#include "launch/run/evaluation_setup.h"
#include "launch/run/file_deadline.h"
#include "launch/run/run_setup.h"

namespace thaw {
namespace {

// `thaw predict`: a JSON line a sample, in the split's own order, on one process; the index in a
// line is the sample's in the file. Text goes out batch by batch, so a split of any size fits in
// memory.
ArgumentParser predict_parser() {
  ArgumentParser parser("predict CONFIG.toml --weights FILE --split NAME [--output FILE]",
                        "Writes a JSON line for each sample of a split: its index, and what its "
                        "task predicts: a class and the probability of each, the class of each "
                        "token, the loss of what follows a prompt.");
  parser.positional("CONFIG", "the configuration file: its [model] and [data] count");
  parser.option("weights", "safetensors with a head; default: model.weights");
  parser.option("split", "train, validation or test", "test");
  parser.option("output", "file to write, all or nothing; - is standard output", "-");
  parser.takes_configuration();
  return parser;
}

/// Takes text piece by piece; a file appears whole at `finish` or not at all.
class LineSink {
 public:
  explicit LineSink(const std::string& path) {
    if (path != "-") file_.emplace(path);
  }
  void write(const std::string& text) {
    if (file_) {
      file_->write(text);
    } else {
      fmt::print("{}", text);
    }
  }
  void finish() {
    if (file_) file_->commit();
  }

 private:
  std::optional<GivenOutput> file_;
};

/// The sample that a row of outputs belongs to.
std::int64_t sample_of_row(std::int64_t row, OutputRows rows, const Batch& batch) {
  if (rows != OutputRows::kTokens) return batch.samples[static_cast<std::size_t>(row)];
  const auto* offsets = batch.offsets.const_data_ptr<std::int64_t>();
  const auto* after = std::upper_bound(offsets, offsets + batch.offsets.numel(), row);
  return batch.samples[static_cast<std::size_t>(after - offsets - 1)];
}

/// No class is said where the model's outputs are no numbers.
void require_numbers(const at::Tensor& outputs, OutputRows rows, const Batch& batch) {
  const at::Tensor bad = outputs.isfinite().logical_not().flatten(1).any(1);
  if (!bad.any().item<bool>()) return;
  const auto row = bad.to(at::kByte).argmax().item<std::int64_t>();
  throw RunError(
      fmt::format("the model's outputs for sample {} are no numbers: its weights or the "
                  "sample make it",
                  sample_of_row(row, rows, batch)));
}

ExitStatus predict(const std::vector<std::string>& command_line) {
  const std::optional<ArgumentParser::Parsed> parsed = predict_parser().parse(command_line);
  if (!parsed) {
    return ExitStatus::kDone;
  }
  const ArgumentParser::Parsed& arguments = *parsed;
  const std::unique_ptr<Communicator> alone = make_self_communicator();
  const std::string split = arguments["split"];
  FileDeadline files(*alone);
  SetupRequest request = evaluation_request(arguments, split, files);
  request.labels_unused = true;
  const RunSetup setup = set_up(request, *alone);
  setup.model->eval();
  LineSink sink(arguments["output"]);
  const Configuration& configuration = setup.configuration();
  for_each_prediction(*setup.model, *setup.dataset, split,
                      evaluation_settings(configuration.data, configuration.train), /*rank=*/0,
                      /*ranks=*/1, [&](const Batch& batch, const at::Tensor& outputs) {
                        require_numbers(outputs, setup.task->output_rows(), batch);
                        sink.write(setup.task->predictions(outputs, batch));
                      });
  sink.finish();
  return ExitStatus::kDone;
}

}  // namespace

int run_predict(std::vector<std::string> arguments) {
  const auto own = std::find(arguments.begin(), arguments.end(), "--output");
  const bool own_file = own != arguments.end() && own + 1 != arguments.end() && *(own + 1) != "-";
  const auto body = [&] { return predict(arguments); };
  return own_file ? run_in_each(body) : run_alone(body);
}

}  // namespace thaw
