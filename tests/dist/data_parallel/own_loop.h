#pragma once

#include <cstdint>
#include <ostream>
#include <string>
#include <vector>

#include "dist/data_parallel/data_parallel.h"
#include "tests/dist/reduction/small_network.h"

namespace thaw::testing_network {

/// How a loop of somebody's own may use DataParallel.
struct LoopStyle {
  bool announces = false;  ///< calls `begin`
  Overlap overlap = Overlap::kOff;
  std::int64_t micro = 100;  ///< samples of a micro-batch
  std::string name = "";
};

inline void PrintTo(const LoopStyle& style, std::ostream* out) { *out << style.name; }

/// Many small buckets.
inline ReducerOptions small_buckets(Overlap overlap = Overlap::kOff) {
  return {{.cap_bytes = 200, .first_cap_bytes = 100}, overlap};
}

/// The mean over samples [first, last) of a network's loss, over `of` samples: a rank's own loss,
/// without any weight of ranks.
inline at::Tensor own_loss(const SmallNetwork& network, const Samples& samples, std::int64_t first,
                           std::int64_t last, std::int64_t of) {
  return loss_of(network, samples, first, last, of);
}

/// Forward, backward and `finish` of this rank's slice. Returns what `finish` does.
inline std::int64_t own_step(DataParallel& parallel, const SmallNetwork& network,
                             const Samples& samples, Slice slice, const LoopStyle& style) {
  const std::int64_t share = slice.last - slice.first;
  if (style.announces) parallel.begin(share);
  for (std::int64_t first = slice.first; first < slice.last; first += style.micro) {
    const std::int64_t last = std::min(first + style.micro, slice.last);
    const at::Tensor loss = own_loss(network, samples, first, last, share);
    if (last < slice.last) {
      const auto scope = parallel.accumulate();
      loss.backward();
    } else {
      loss.backward();
    }
  }
  return style.announces ? parallel.finish() : parallel.finish(share);
}

/// A step of one process with the whole batch, of the parameters that are `active` there.
inline void lone_step(SmallNetwork& network, const Samples& samples) {
  for (NamedTensor& parameter : network.parameters) parameter.tensor.mutable_grad().reset();
  const std::int64_t total = samples.inputs.size(0);
  loss_of(network, samples, 0, total, total).backward();
}

}  // namespace thaw::testing_network
