#pragma once

#include <ATen/core/Tensor.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "core/data/batch.h"

namespace thaw {

class BatchAssembler;
class Dataset;
class Model;
class Split;

/// Runs the frozen groups of a model over samples of a split in order, block by block. Where blocks
/// end follows from the lengths of samples alone, so what comes of a block has the same bits
/// whichever rank runs it: see Note [Bits of cached activations]. Belongs to the training thread.
class PrefixRunner {
 public:
  /// All are borrowed. The split is prepared.
  PrefixRunner(Model& model, const Dataset& dataset, const std::string& split);
  ~PrefixRunner();
  PrefixRunner(const PrefixRunner&) = delete;
  PrefixRunner& operator=(const PrefixRunner&) = delete;

  const Split& split() const { return split_; }
  /// The first sample of each block, and the number of samples.
  const std::vector<std::int64_t>& blocks() const { return blocks_; }

  /// A forward that goes from boundary to boundary and keeps nothing of those that it has left.
  class Pass {
   public:
    Pass(const PrefixRunner& runner, std::vector<std::int64_t> samples);

    /// What lies behind `boundary`, a number of groups beyond the last one that was asked for, on
    /// the host; undefined where the model gives none.
    at::Tensor to(std::size_t boundary);
    std::int64_t samples() const { return batch_.size(); }
    std::int64_t tokens() const;           ///< of texts; else -1
    bool draws() const { return draws_; }  ///< something was drawn at random on the way

   private:
    Model& model_;
    Batch batch_;
    at::Tensor hidden_;
    std::size_t reached_ = 0;
    bool draws_ = false;
  };

  /// What one forward of these samples gives.
  struct Outputs {
    std::vector<at::Tensor> hidden;  ///< behind each boundary; undefined where the model gives none
    std::vector<double> seconds;     ///< from the input up to it
    std::int64_t samples = 0;
    std::int64_t tokens = -1;  ///< of texts
    bool draws = false;        ///< something was drawn at random on the way
  };
  /// `boundaries`: numbers of groups, ascending.
  Outputs run(std::vector<std::int64_t> samples, std::span<const std::size_t> boundaries) const;
  /// Of the samples of a block.
  std::vector<std::int64_t> samples_of(std::size_t block) const;
  Outputs run_block(std::size_t block, std::span<const std::size_t> boundaries) const;

 private:
  Model& model_;
  const Split& split_;
  std::unique_ptr<BatchAssembler> assembler_;
  std::vector<std::int64_t> blocks_;
};

}  // namespace thaw
