// As in core/kernels/flop_counter.cpp: LibTorch's packages are built with NDEBUG, and without it
// its header gives RecordFunction a member more, which the library never sets.
#ifndef NDEBUG
#define NDEBUG
#endif

#include "cluster/benchmarks/step_parts/operator_log.h"

#include <ATen/record_function.h>
#include <c10/util/Exception.h>

#include <algorithm>
#include <optional>
#include <string_view>

#include "core/base/progress/attention_timer.h"

namespace thaw {
namespace {

using Inputs = c10::ArrayRef<const c10::IValue>;

thread_local OperatorLog* mine = nullptr;

struct Seen {
  std::optional<ProductShape> shape;  ///< none: attention
  int times = 1;
};

/// [m, k] with k times n of the other.
Seen product(const c10::IValue& left_value, const c10::IValue& right_value) {
  const at::Tensor& left = left_value.toTensor();
  const std::int64_t m = left.size(0), k = left.size(1);
  const std::int64_t n = k > 0 ? right_value.toTensor().numel() / k : 0;
  return {ProductShape{.type = left.scalar_type(),
                       .sizes = {m, k, n},
                       .weight_sizes = {},
                       .stride = {},
                       .padding = {},
                       .dilation = {}}};
}

/// Of one value for all dimensions, one each.
std::vector<std::int64_t> each(const c10::IValue& value, std::size_t dimensions) {
  std::vector<std::int64_t> given = value.toIntVector();
  if (given.size() == 1) given.resize(dimensions, given[0]);
  return given;
}

/// `first`: where the input stands among the operator's own; `strides`: where the stride does.
Seen convolution(Inputs inputs, std::size_t first, std::size_t strides) {
  const at::Tensor& input = inputs[first].toTensor();
  const at::Tensor& weight = inputs[first + 1].toTensor();
  const auto dimensions = static_cast<std::size_t>(weight.dim() - 2);
  return {ProductShape{.type = input.scalar_type(),
                       .sizes = input.sizes().vec(),
                       .weight_sizes = weight.sizes().vec(),
                       .stride = each(inputs[strides], dimensions),
                       .padding = each(inputs[strides + 1], dimensions),
                       .dilation = each(inputs[strides + 2], dimensions),
                       .groups = inputs[strides + 5].toInt()}};
}

/// What an operator multiplies; nothing of one that does not, or of a kind no model here has.
std::optional<Seen> see(std::string_view name, Inputs inputs) {
  if (name == "mkldnn::_linear_pointwise" || name == "aten::mm") {
    return product(inputs[0], inputs[1]);
  }
  if (name == "aten::addmm" || name == "aten::addmm_") return product(inputs[1], inputs[2]);
  if (name == "aten::convolution" && !inputs[6].toBool()) return convolution(inputs, 0, 3);
  if (name == "aten::convolution_backward" && !inputs[7].toBool()) {
    Seen seen = convolution(inputs, 1, 4);
    const c10::List<bool> mask = inputs[10].toBoolList();
    seen.times = (mask.get(0) ? 1 : 0) + (mask.get(1) ? 1 : 0);
    return seen;
  }
  if (name == "aten::bmm" || name == "aten::baddbmm" ||
      name.starts_with("aten::_scaled_dot_product_")) {
    return Seen{};
  }
  return std::nullopt;
}

struct Begun : at::ObserverContext {
  OperatorLog::Entry entry;
};

}  // namespace

/// The callbacks, which LibTorch calls with nothing of the log's.
class OperatorLog::Observer {
 public:
  static std::unique_ptr<at::ObserverContext> begin(const at::RecordFunction& function) {
    OperatorLog* const log = mine;
    if (log == nullptr || log->inside_) return nullptr;
    const std::optional<Seen> seen = see(function.name(), function.inputs());
    if (!seen) return nullptr;
    log->inside_ = true;
    auto begun = std::make_unique<Begun>();
    begun->entry = {.seconds = 0,
                    .attention_before = attention_seconds(),
                    .shape = seen->shape ? log->number_of(*seen->shape) : kAttention,
                    .times = seen->times};
    begun->entry.begin = log->clock_.seconds();
    return begun;
  }

  static void end(const at::RecordFunction&, at::ObserverContext* context) {
    OperatorLog* const log = mine;
    if (context == nullptr || log == nullptr) return;
    Entry entry = static_cast<Begun*>(context)->entry;
    entry.seconds = log->clock_.seconds() - entry.begin;
    log->logged_.entries.push_back(entry);
    log->inside_ = false;
  }
};

OperatorLog::OperatorLog() {
  TORCH_CHECK(mine == nullptr, "this thread has a log already");
  mine = this;
  callback_ = at::addThreadLocalCallback(at::RecordFunctionCallback(Observer::begin, Observer::end)
                                             .needsInputs(true)
                                             .scopes({at::RecordScope::FUNCTION}));
}

OperatorLog::~OperatorLog() {
  at::removeCallback(callback_);
  mine = nullptr;
}

std::size_t OperatorLog::number_of(const ProductShape& shape) {
  std::vector<ProductShape>& shapes = logged_.shapes;
  const auto found = std::find(shapes.begin(), shapes.end(), shape);
  if (found != shapes.end()) return static_cast<std::size_t>(found - shapes.begin());
  shapes.push_back(shape);
  return shapes.size() - 1;
}

}  // namespace thaw
