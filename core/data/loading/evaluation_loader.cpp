#include "core/data/loading/evaluation_loader.h"

#include <fmt/format.h>

#include <numeric>
#include <optional>
#include <utility>
#include <vector>

#include "core/base/error.h"
#include "core/data/dataset.h"
#include "core/data/loading/batch_assembler.h"
#include "core/data/loading/read_ahead.h"
#include "core/data/order/batch_plan.h"
#include "core/data/upload/batch_upload.h"
#include "core/parallel/sum_tree.h"

namespace thaw {
namespace {

const EvaluationLoaderOptions& checked(const EvaluationLoaderOptions& options) {
  if (options.batch < 1) {
    throw InputError(fmt::format("data.evaluation-batch is {}, must be at least 1", options.batch));
  }
  return options;
}

}  // namespace

class EvaluationLoader::Implementation {
 public:
  Implementation(const Dataset& dataset, const std::string& split,
                 const EvaluationLoaderOptions& options)
      : options_(checked(options)),
        shards_(options.shards > 0 ? options.shards : options.ranks),
        own_(shards_of_rank(shards_, options.rank, options.ranks)),
        split_(dataset.split(split)),
        assembler_(dataset, split_, {}, options.gpu.has_value()),
        uploader_(options.gpu ? std::make_unique<BatchUploader>(*options.gpu) : nullptr),
        read_ahead_(options.read_ahead, [this] { return make(); }) {}

  std::optional<Batch> next() {
    std::optional<Batch> batch = read_ahead_.next();
    if (batch) shard_ = own_.first + taken_++ % own_.size();
    return batch;
  }

  std::int64_t shard() const { return shard_; }

 private:
  /// The next shard of this rank's: neighbours in the file, so one read each.
  std::optional<Batch> make() {
    if (cursor_ == split_.size() || own_.size() == 0) return std::nullopt;
    const GlobalBatch global = next_global_batch(cursor_, split_.size(), options_.batch);
    const std::int64_t shard = own_.first + made_++ % own_.size();
    if (shard + 1 == own_.last) cursor_ += global.size();
    const SampleRange range = balanced_piece(global.positions, shard, shards_);
    std::vector<std::int64_t> samples(range.size());
    std::iota(samples.begin(), samples.end(), range.first);
    Batch batch = assembler_.assemble(0, std::move(samples));
    if (uploader_ && batch.size() > 0) batch.upload = uploader_->start(batch);
    return batch;
  }

  const EvaluationLoaderOptions options_;
  const std::int64_t shards_;
  const ShardRange own_;
  const Split& split_;
  BatchAssembler assembler_;
  std::unique_ptr<BatchUploader> uploader_;  ///< null: batches stay on the host
  std::int64_t cursor_ = 0;                  // with `made_`: of the thread that makes them
  std::int64_t made_ = 0;
  std::int64_t taken_ = 0, shard_ = 0;
  ReadAhead<Batch> read_ahead_;  // last: its thread uses all of the above
};

EvaluationLoader::EvaluationLoader(const Dataset& dataset, const std::string& split,
                                   const EvaluationLoaderOptions& options)
    : implementation_(std::make_unique<Implementation>(dataset, split, options)) {}

EvaluationLoader::~EvaluationLoader() = default;

std::optional<Batch> EvaluationLoader::next() { return implementation_->next(); }

std::int64_t EvaluationLoader::shard() const { return implementation_->shard(); }

}  // namespace thaw
