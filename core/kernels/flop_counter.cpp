// LibTorch's packages are built with NDEBUG. Without it, its header gives RecordFunction a member
// more, which the library never sets: inputs would seem never to be there in a debug build.
#ifndef NDEBUG
#define NDEBUG
#endif

#include "core/kernels/flop_counter.h"

#include <ATen/record_function.h>
#include <c10/util/Exception.h>

#include <atomic>
#include <string_view>
#include <unordered_set>
#include <utility>

namespace thaw {
namespace {

// Note [Counting operations]
// LibTorch tells observers of every operator that runs, with its inputs. Those that multiply are
// few: mm, addmm, bmm, baddbmm, convolution, its backward, fused attention; and oneDNN's linear
// layer, which Thaw calls itself. Whatever a module is made of ends in these.
//
// A backward computes gradients of weights and of inputs, both by the same operators:
// - convolution's backward says in its mask which it computes;
// - a product with a parameter (or a view of one, its transpose) is the gradient of an input, since
//   a weight's own gradient is the product of two activations;
// - a batched product is attention's: both of its operands are activations, and what it computes
//   flows on towards the input;
// - Thaw's kernels keep copies of weights in other layouts, and so say which it is (FlopKindScope).

/// What the kernels on this thread have said that they compute (FlopKindScope).
constexpr int kUnsaid = -1;
constexpr int kSaidApart = -2;  ///< by report_flops
thread_local int said_kind = kUnsaid;

double elements(at::IntArrayRef sizes) {
  double product = 1;
  for (const std::int64_t size : sizes) {
    product *= static_cast<double>(size);
  }
  return product;
}

}  // namespace

/// Adds up what the operators of one thread and of autograd's threads multiply while a counter
/// lives. Counts are of multiplications and additions, two for each pair of factors.
class FlopCounter::Collector {
 public:
  /// `parameters`: a product with one of them, or with a view of one, is told apart by its storage.
  explicit Collector(const std::vector<at::Tensor>& parameters) {
    for (const at::Tensor& parameter : parameters) {
      storages_.insert(parameter.storage().unsafeGetStorageImpl());
    }
  }

  void add(FlopKind kind, double count) {
    // Doubles are exact up to 2^53: a step of a network this program trains is below that.
    counts_[static_cast<std::size_t>(kind)].fetch_add(static_cast<std::uint64_t>(count),
                                                      std::memory_order_relaxed);
  }

  double count(FlopKind kind) const {
    return static_cast<double>(
        counts_[static_cast<std::size_t>(kind)].load(std::memory_order_relaxed));
  }

  /// An operator runs: counts it if it multiplies. On the thread that runs it.
  void see(std::string_view name, c10::ArrayRef<const c10::IValue> inputs) {
    if (said_kind == kSaidApart) return;
    if (!name.starts_with("aten::")) {
      if (name == "mkldnn::_linear_pointwise") {
        product(inputs[0], inputs[1]);  // [m, k] with [n, k]
      }
      return;
    }
    name.remove_prefix(6);
    if (name == "mm") {
      product(inputs[0], inputs[1]);
    } else if (name == "addmm") {
      product(inputs[1], inputs[2]);
    } else if (name == "bmm") {
      batched(inputs[0], inputs[1]);
    } else if (name == "baddbmm") {
      batched(inputs[1], inputs[2]);
    } else if (name == "convolution") {
      convolution(inputs);
    } else if (name == "convolution_backward") {
      convolution_backward(inputs);
    } else if (name.starts_with("_scaled_dot_product_")) {
      attention(name.ends_with("backward"), inputs);
    }
  }

  std::atomic<int> backwards = 0;  ///< that are under way

 private:
  bool is_parameter(const at::Tensor& tensor) const {
    return storages_.contains(tensor.storage().unsafeGetStorageImpl());
  }

  /// What an operator is counted as: what Thaw's kernels say, forward, or in a backward
  /// `of_backward`.
  FlopKind kind_unless_said(FlopKind of_backward) const {
    if (said_kind != kUnsaid) return static_cast<FlopKind>(said_kind);
    return backwards.load(std::memory_order_relaxed) > 0 ? of_backward : FlopKind::kForward;
  }

  /// [m, k] with k times n of the other.
  void product(const c10::IValue& left_value, const c10::IValue& right_value) {
    const at::Tensor& left = left_value.toTensor();
    const at::Tensor& right = right_value.toTensor();
    const double columns = static_cast<double>(right.numel()) / static_cast<double>(left.size(1));
    if (left.size(1) == 0) return;
    const bool with_weight = is_parameter(left) || is_parameter(right);
    add(kind_unless_said(with_weight ? FlopKind::kInputGradient : FlopKind::kWeightGradient),
        2 * static_cast<double>(left.numel()) * columns);
  }

  /// [b, m, k] with [b, k, n].
  void batched(const c10::IValue& left_value, const c10::IValue& right_value) {
    add(kind_unless_said(FlopKind::kInputGradient),
        2 * static_cast<double>(left_value.toTensor().numel()) *
            static_cast<double>(right_value.toTensor().size(2)));
  }

  /// Each element of the side where a kernel is applied meets the whole kernel of one output.
  static double convolution_count(const at::Tensor& input, const at::Tensor& output,
                                  const at::Tensor& weight, bool transposed) {
    const at::Tensor& side = transposed ? input : output;
    const double places = static_cast<double>(side.numel()) / static_cast<double>(side.size(1));
    return 2 * places * elements(weight.sizes());
  }

  /// Of the output [n, c, …] of a convolution that has not run yet.
  static std::int64_t output_places(const at::Tensor& input, const at::Tensor& weight,
                                    const std::vector<std::int64_t>& stride,
                                    const std::vector<std::int64_t>& padding,
                                    const std::vector<std::int64_t>& dilation) {
    std::int64_t places = input.size(0);
    for (std::int64_t d = 2; d < input.dim(); ++d) {
      const auto i = static_cast<std::size_t>(d - 2);
      const auto of = [&](const std::vector<std::int64_t>& values) {
        return values.size() == 1 ? values[0] : values.at(i);
      };
      const std::int64_t reach = of(dilation) * (weight.size(d) - 1) + 1;
      places *= (input.size(d) + 2 * of(padding) - reach) / of(stride) + 1;
    }
    return places;
  }

  void convolution(c10::ArrayRef<const c10::IValue> inputs) {
    const at::Tensor& input = inputs[0].toTensor();
    const at::Tensor& weight = inputs[1].toTensor();
    const bool transposed = inputs[6].toBool();
    const auto places = static_cast<double>(
        transposed ? input.numel() / input.size(1)
                   : output_places(input, weight, inputs[3].toIntVector(), inputs[4].toIntVector(),
                                   inputs[5].toIntVector()));
    add(kind_unless_said(FlopKind::kInputGradient), 2 * places * elements(weight.sizes()));
  }

  void convolution_backward(c10::ArrayRef<const c10::IValue> inputs) {
    const at::Tensor& gradient = inputs[0].toTensor();
    const at::Tensor& input = inputs[1].toTensor();
    const at::Tensor& weight = inputs[2].toTensor();
    const bool transposed = inputs[7].toBool();
    const c10::List<bool> mask = inputs[10].toBoolList();
    const double count = convolution_count(input, gradient, weight, transposed);
    if (mask.get(0)) add(FlopKind::kInputGradient, count);
    if (mask.get(1)) add(FlopKind::kWeightGradient, count);
  }

  /// Two products of [length, keys] with [keys, size] a head; backward four, and the scores again.
  void attention(bool backward, c10::ArrayRef<const c10::IValue> inputs) {
    const std::size_t first = backward ? 1 : 0;
    const at::Tensor& query = inputs[first].toTensor();
    const at::Tensor& key = inputs[first + 1].toTensor();
    const at::Tensor& value = inputs[first + 2].toTensor();
    const double scores = static_cast<double>(query.numel()) / static_cast<double>(query.size(-1)) *
                          static_cast<double>(key.size(-2));
    const double with_key = 2 * scores * static_cast<double>(query.size(-1));
    const double with_value = 2 * scores * static_cast<double>(value.size(-1));
    add(kind_unless_said(FlopKind::kInputGradient),
        backward ? 3 * with_key + 2 * with_value : with_key + with_value);
  }

  std::unordered_set<const c10::StorageImpl*> storages_;
  std::array<std::atomic<std::uint64_t>, 3> counts_ = {0, 0, 0};
};

namespace {

// Observers and what they are told of are the counting thread's, so that ranks which are threads of
// one process count apart. LibTorch hands observers on to the threads that run backward on a GPU;
// these find the collector under `latest`, a process with a GPU being one rank.
thread_local FlopCounter::Collector* mine = nullptr;
std::atomic<FlopCounter::Collector*> latest{nullptr};

FlopCounter::Collector* current() {
  return mine != nullptr ? mine : latest.load(std::memory_order_acquire);
}

std::unique_ptr<at::ObserverContext> observe(const at::RecordFunction& function) {
  if (auto* const collector = current()) {
    collector->see(function.name(), function.inputs());
  }
  return nullptr;
}

}  // namespace

Flops& Flops::operator+=(const Flops& other) {
  forward += other.forward;
  input_gradients += other.input_gradients;
  weight_gradients += other.weight_gradients;
  return *this;
}

FlopCounter::FlopCounter(const std::vector<at::Tensor>& parameters)
    : collector_(std::make_unique<Collector>(parameters)) {
  TORCH_CHECK(mine == nullptr, "this thread counts operations already");
  mine = collector_.get();
  latest.store(mine, std::memory_order_release);
  callback_ = at::addThreadLocalCallback(
      at::RecordFunctionCallback(observe).needsInputs(true).scopes({at::RecordScope::FUNCTION}));
}

FlopCounter::~FlopCounter() {
  at::removeCallback(callback_);
  Collector* own = std::exchange(mine, nullptr);
  latest.compare_exchange_strong(own, nullptr);
}

Flops FlopCounter::flops() const {
  return {.forward = collector_->count(FlopKind::kForward),
          .input_gradients = collector_->count(FlopKind::kInputGradient),
          .weight_gradients = collector_->count(FlopKind::kWeightGradient)};
}

FlopBackward::FlopBackward() {
  if (auto* const collector = current()) ++collector->backwards;
}

FlopBackward::~FlopBackward() {
  if (auto* const collector = current()) --collector->backwards;
}

FlopKindScope::FlopKindScope(FlopKind kind) : before_(said_kind) {
  said_kind = static_cast<int>(kind);
}

FlopKindScope::~FlopKindScope() { said_kind = before_; }

FlopsSaidApart::FlopsSaidApart() : before_(std::exchange(said_kind, kSaidApart)) {}

FlopsSaidApart::~FlopsSaidApart() { said_kind = before_; }

void report_flops(FlopKind kind, double count) {
  if (auto* const collector = current()) collector->add(kind, count);
}

}  // namespace thaw
