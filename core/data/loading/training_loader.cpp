#include "core/data/loading/training_loader.h"

#include <fmt/format.h>

#include <optional>
#include <utility>
#include <vector>

#include "core/base/error.h"
#include "core/data/dataset.h"
#include "core/data/loading/batch_assembler.h"
#include "core/data/loading/read_ahead.h"
#include "core/data/order/sample_order.h"
#include "core/data/upload/batch_upload.h"
#include "core/parallel/sum_tree.h"

namespace thaw {
namespace {

const TrainingLoaderOptions& checked(const TrainingLoaderOptions& options) {
  if (options.batch < 1) {
    throw InputError(fmt::format("data.batch is {}, must be at least 1", options.batch));
  }
  if (options.read_ahead < 0) {
    throw InputError(fmt::format("data.read-ahead is {}, must be >= 0", options.read_ahead));
  }
  return options;
}

std::unique_ptr<BatchUploader> uploader_for(const TrainingLoaderOptions& options) {
  return options.gpu && options.uploads ? std::make_unique<BatchUploader>(*options.gpu) : nullptr;
}

}  // namespace

class TrainingLoader::Implementation {
 public:
  Implementation(const Dataset& dataset, const TrainingLoaderOptions& options, std::int64_t cursor)
      : options_(checked(options)),
        split_(dataset.split("train")),
        assembler_(dataset, split_, {options.crop_padding, options.horizontal_flip, options.seed},
                   options.gpu.has_value()),
        uploader_(uploader_for(options)),
        read_ahead_(options.read_ahead, from(cursor)) {}

  TrainingBatch next() { return *read_ahead_.next(); }
  void seek(std::int64_t cursor) { read_ahead_.restart(from(cursor)); }

 private:
  /// Makes batch after batch from `cursor` on.
  ReadAhead<TrainingBatch>::Make from(std::int64_t cursor) {
    return [this, cursor]() mutable -> std::optional<TrainingBatch> {
      TrainingBatch result;
      result.global = next_global_batch(cursor, split_.size(), options_.batch);
      cursor += result.global.size();
      result.batch = assembler_.assemble(result.global.epoch, samples_of(result.global));
      if (uploader_) result.batch.upload = uploader_->start(result.batch);
      return result;
    };
  }

  /// This rank's samples of a global batch. The order of the epoch is kept until the next one.
  std::vector<std::int64_t> samples_of(const GlobalBatch& global) {
    if (!order_ || order_epoch_ != global.epoch) {
      order_ = epoch_order(split_, options_.seed, global.epoch);
      order_epoch_ = global.epoch;
    }
    const SampleRange share = share_of(global.positions);
    std::vector<std::int64_t> samples;
    samples.reserve(share.size());
    for (std::int64_t i = share.first; i < share.last; ++i) samples.push_back(order_->sample(i));
    return samples;
  }

  SampleRange share_of(SampleRange positions) const {
    if (options_.shards == 0) return balanced_piece(positions, options_.rank, options_.ranks);
    return samples_of_shards(
        positions, shards_of_rank(options_.shards, options_.rank, options_.ranks), options_.shards);
  }

  const TrainingLoaderOptions options_;
  const Split& split_;
  BatchAssembler assembler_;
  std::unique_ptr<BatchUploader> uploader_;  ///< null: batches stay on the host
  std::unique_ptr<SampleOrder> order_;
  std::int64_t order_epoch_ = -1;
  ReadAhead<TrainingBatch> read_ahead_;  // last: its thread uses all of the above
};

TrainingLoader::TrainingLoader(const Dataset& dataset, const TrainingLoaderOptions& options,
                               std::int64_t cursor)
    : implementation_(std::make_unique<Implementation>(dataset, options, cursor)) {}

TrainingLoader::~TrainingLoader() = default;

TrainingBatch TrainingLoader::next() { return implementation_->next(); }

void TrainingLoader::seek(std::int64_t cursor) { implementation_->seek(cursor); }

}  // namespace thaw
