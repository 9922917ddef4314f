#include "core/data/loading/training_loader.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <utility>
#include <vector>

#include "core/base/error.h"
#include "core/data/dataset.h"
#include "core/data/loading/batch_assembler.h"
#include "core/data/loading/read_ahead.h"
#include "core/data/order/sample_order.h"
#include "core/data/size_class.h"
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

/// Tokens of a sample that texts are filled up with, at most; 0: they are not. Those of one length
/// are of one class as they are, but for an epoch's last.
std::int64_t most_of_fillers(const Split& split, const TrainingLoaderOptions& options) {
  return options.fills_up && split.is_ragged() ? split.longest() : 0;
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
        most_of_fillers_(most_of_fillers(split_, options)),
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
      result.batch =
          assembler_.assemble(result.global.epoch, samples_of(result.global, options_.rank));
      if (uploader_) result.batch.upload = uploader_->start(to_upload(result));
      return result;
    };
  }

  /// What of a batch goes to the GPU: see Note [Size classes].
  Batch to_upload(const TrainingBatch& batch) {
    if (most_of_fillers_ == 0 || batch.batch.size() == 0) return batch.batch;
    std::vector<TextShare> shares;
    for (int rank = 0; rank < options_.ranks; ++rank) {
      TextShare share;
      for (const std::int64_t sample : samples_of(batch.global, rank)) {
        const auto at = static_cast<std::size_t>(sample);
        const std::int64_t length = split_.offsets()[at + 1] - split_.offsets()[at];
        share.tokens += length;
        share.longest = std::max(share.longest, length);
      }
      shares.push_back(share);
    }
    return filled_up(batch.batch, size_class(shares, most_of_fillers_));
  }

  /// A rank's samples of a global batch. The order of the epoch is kept until the next one.
  std::vector<std::int64_t> samples_of(const GlobalBatch& global, int rank) {
    if (!order_ || order_epoch_ != global.epoch) {
      order_ = epoch_order(split_, options_.seed, global.epoch);
      order_epoch_ = global.epoch;
    }
    const SampleRange share = share_of(global.positions, rank);
    std::vector<std::int64_t> samples;
    samples.reserve(share.size());
    for (std::int64_t i = share.first; i < share.last; ++i) samples.push_back(order_->sample(i));
    return samples;
  }

  SampleRange share_of(SampleRange positions, int rank) const {
    if (options_.shards == 0) return balanced_piece(positions, rank, options_.ranks);
    return samples_of_shards(positions, shards_of_rank(options_.shards, rank, options_.ranks),
                             options_.shards);
  }

  const TrainingLoaderOptions options_;
  const Split& split_;
  BatchAssembler assembler_;
  std::unique_ptr<BatchUploader> uploader_;  ///< null: batches stay on the host
  const std::int64_t most_of_fillers_;
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
