#pragma once

#include <ATen/core/Tensor.h>

#include <string>
#include <vector>

#include "core/data/dataset.h"

namespace thaw {

/// The samples of one split in memory: what a file's HDF5 group holds (see Dataset).
///
/// Images: `inputs` uint8 or float32 [N, C, H, W], `offsets` undefined. Text: `inputs` int32
/// [total], `offsets` int64 [N + 1]; pairs also `types` int8 [total]. On the host and contiguous;
/// they are not copied, so leave them as they are for as long as the dataset lives.
struct MemorySplit {
  std::string name;   ///< train, validation, test, …
  at::Tensor inputs;  ///< of all samples
  at::Tensor labels;  ///< int64 [N], uint8 [N, C], or float32 [N] or [N, K]
  at::Tensor offsets = {};
  at::Tensor types = {};
  at::Tensor prompt_lengths = {};  ///< text, in the place of `labels`: int32 [N]
  at::Tensor token_labels = {};    ///< likewise: int32 [total]; none of the three: running text
  at::Tensor bytes = {};           ///< beside prompts and running text: int32 [N]; may be left out
};

/// What a file's attributes say; all of it may be left out.
struct MemoryDatasetFacts {
  std::vector<std::string> classes = {};  ///< names; empty: "0" to the largest label
  std::vector<std::string> targets = {};  ///< names of numbers to be learnt
  std::vector<double> mean = {};          ///< a number a channel, of pixels scaled to [0, 1]
  std::vector<double> std_deviation = {};
  std::string task = {};  ///< what is learnt, by name
};

/// A dataset of samples in memory, ready to be read. All splits hold the same kind of samples.
/// Throws InputError naming the split, where something does not fit.
Dataset make_memory_dataset(const std::vector<MemorySplit>& splits,
                            const MemoryDatasetFacts& facts = {});

}  // namespace thaw
