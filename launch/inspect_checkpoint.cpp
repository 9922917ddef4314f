#include "launch/inspect_checkpoint.h"

#include <ATen/core/Tensor.h>
#include <c10/core/ScalarType.h>
#include <fmt/format.h>

#include "core/base/error.h"
#include "core/checkpoint/reader.h"
#include "core/parallel/one_rank.h"
#include "core/train/training_state.h"
#include "launch/terminal/text_table.h"

namespace thaw {
namespace {

std::int64_t bytes_of(const CheckpointReader::Entry& entry) {
  auto bytes = static_cast<std::int64_t>(c10::elementSize(entry.dtype));
  for (const std::int64_t size : entry.shape) bytes *= size;
  return bytes;
}

/// What the tensors are, by the first part of their names: weights, buffers, optimizer, rank-0, ...
std::string tensor_table(const CheckpointReader& reader) {
  std::map<std::string, std::pair<std::int64_t, std::int64_t>> kinds;
  for (const auto& [name, entry] : reader.entries()) {
    auto& [count, bytes] = kinds[name.substr(0, name.find('/'))];
    ++count;
    bytes += bytes_of(entry);
  }
  TextTable table({"tensors", ">number", ">size"});
  for (const auto& [kind, sums] : kinds) {
    table.row({kind, with_commas(sums.first), bytes_text(sums.second)});
  }
  return table.text();
}

std::string file_table(const Manifest& manifest) {
  TextTable table({"file", ">bytes", "checksum"});
  for (const FileRecord& file : manifest.files) {
    table.row({file.name, with_commas(static_cast<std::int64_t>(file.bytes)), file.checksum});
  }
  return table.text();
}

}  // namespace

std::string describe_checkpoint(const std::string& path) {
  const std::unique_ptr<Communicator> alone = make_self_communicator();
  const CheckpointReader reader(path, *alone);
  const Manifest& manifest = reader.manifest();
  const TrainingState state =
      training_state_from_json(reader.state(), path + "/" + std::string(kStateFile));
  std::string text = fmt::format(
      "{}: a checkpoint, all bytes verified\n  after step {} (epoch {:.3f}), {}\n"
      "  written {} by thaw {}, LibTorch {}, on {} rank{} of {} thread{} ({}, {})\n",
      path, manifest.place.step, manifest.epoch,
      state.in_stage ? fmt::format("in stage \"{}\"", state.stage)
                     : fmt::format("at the end of stage \"{}\"", state.stage),
      manifest.written, manifest.version, state.facts.torch, manifest.ranks,
      manifest.ranks == 1 ? "" : "s", state.facts.threads, state.facts.threads == 1 ? "" : "s",
      state.facts.device, state.facts.cpu);
  if (state.best_evaluation) {
    text += fmt::format("  best so far: {} loss {:.4f}, accuracy {:.2f} % at step {}\n",
                        state.best_evaluation->split, state.best_evaluation->loss,
                        100 * state.best_evaluation->accuracy, state.best_evaluation->step);
  }
  return text + tensor_table(reader) + file_table(manifest);
}

std::string list_checkpoints(const std::string& folder) {
  const CheckpointStore store(folder);
  const std::unique_ptr<Communicator> alone = make_self_communicator();
  std::string text;
  for (const CheckpointPlace place : store.places()) {
    std::string state = "good";
    try {
      const CheckpointReader reader(store.path_of(place), *alone);
    } catch (const InputError& error) {
      state = error.what();
    }
    text += fmt::format("  {}: {}\n", folder_name(place), state);
  }
  return text;
}

}  // namespace thaw
