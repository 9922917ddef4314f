#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "cluster/benchmarks/step_parts/product_shape.h"
#include "core/base/stopwatch.h"

namespace thaw {

/// Writes down, while it lives, what its thread computes by LibTorch's operators that multiply,
/// forward and backward (which on the host run on the thread that asks), and when. Costs some
/// microseconds an operator. One at a time a thread.
class OperatorLog {
 public:
  /// Its clock stands at 0 now.
  OperatorLog();
  ~OperatorLog();
  OperatorLog(const OperatorLog&) = delete;
  OperatorLog& operator=(const OperatorLog&) = delete;

  struct Entry {
    double begin = 0, seconds = 0;  ///< of the log's clock
    double attention_before = 0;    ///< attention_seconds() at its begin
    /// Which of the shapes; kAttention: a product of attention by LibTorch's operators, which
    /// belongs to attention and has no limit here.
    std::size_t shape = 0;
    int times = 1;  ///< that it was computed: a convolution's backward computes up to two
  };
  static constexpr std::size_t kAttention = static_cast<std::size_t>(-1);

  struct Logged {
    std::vector<Entry> entries;        ///< by ascending begin
    std::vector<ProductShape> shapes;  ///< all different
  };
  const Logged& logged() const { return logged_; }

  class Observer;

 private:
  friend class Observer;
  std::size_t number_of(const ProductShape& shape);

  Stopwatch clock_;
  Logged logged_;
  bool inside_ = false;  ///< an operator that calls others is one entry
  std::uint64_t callback_;
};

}  // namespace thaw
