#include "core/data/evaluation_loader.h"

#include <fmt/format.h>

#include <numeric>
#include <optional>
#include <utility>
#include <vector>

#include "core/base/error.h"
#include "core/data/batch_assembler.h"
#include "core/data/batch_plan.h"
#include "core/data/dataset.h"
#include "core/data/read_ahead.h"

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
        split_(dataset.split(split)),
        assembler_(dataset, split_),
        read_ahead_(options.read_ahead, [this] { return make(); }) {}

  std::optional<Batch> next() { return read_ahead_.next(); }

 private:
  /// This rank's share of the next global batch: neighbours in the file, so one read each.
  std::optional<Batch> make() {
    if (cursor_ == split_.size()) return std::nullopt;
    const GlobalBatch global = next_global_batch(cursor_, split_.size(), options_.batch);
    cursor_ += global.size();
    const SampleRange share = balanced_piece(global.positions, options_.rank, options_.ranks);
    std::vector<std::int64_t> samples(share.size());
    std::iota(samples.begin(), samples.end(), share.first);
    return assembler_.assemble(0, std::move(samples));
  }

  const EvaluationLoaderOptions options_;
  const Split& split_;
  BatchAssembler assembler_;
  std::int64_t cursor_ = 0;
  ReadAhead<Batch> read_ahead_;  // last: its thread uses all of the above
};

EvaluationLoader::EvaluationLoader(const Dataset& dataset, const std::string& split,
                                   const EvaluationLoaderOptions& options)
    : implementation_(std::make_unique<Implementation>(dataset, split, options)) {}

EvaluationLoader::~EvaluationLoader() = default;

std::optional<Batch> EvaluationLoader::next() { return implementation_->next(); }

}  // namespace thaw
