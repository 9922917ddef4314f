#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace at {
class Tensor;
}

namespace thaw {

/// A sum, or another collective, that was started and may still be under way.
///
/// It belongs to the thread that started it. Destroying it before it is done waits for it.
/// One that was recorded in a CUDA graph has no time of its own: whatever waits for it here orders
/// it before what is recorded next on the current stream, and the host goes on.
class Work {
 public:
  virtual ~Work() = default;
  /// Makes progress without blocking; true once the sum is there. Throws RunError if it broke.
  virtual bool poll() = 0;
  /// Blocks the host until the sum is there.
  virtual void wait() = 0;
  /// Orders the sum before all that this thread queues on its current stream from now on. The host
  /// goes on where the tensor lies on a GPU; in host memory it is `wait`.
  virtual void wait_on_stream() { wait(); }
  /// Seconds that the sum took on its stream, once it is there; 0 where that is not measured.
  virtual double seconds() const { return 0; }
};

/// What the ranks of one job say to each other. Implemented in dist/communicator.
///
/// Every call but `rank`, `size`, `send` and `receive` is a collective: all ranks make the same
/// calls in the same order with the same sizes. Not thread-safe: one instance belongs to one thread
/// at a time; what must run beside it gets an instance of its own through `split`. A collective
/// that breaks throws `RunError`.
class Communicator {
 public:
  virtual ~Communicator() = default;

  virtual int rank() const = 0;
  virtual int size() const = 0;

  /// Replaces `tensor` (contiguous; float32, float64, bfloat16 or int64) by its sum over ranks.
  /// Every rank gets the same bits. The host blocks until the sum is there.
  virtual void all_reduce(at::Tensor& tensor) = 0;
  virtual void all_reduce(std::span<double> values) = 0;

  /// The name of `all_reduce` before version 0.2; programs that were written for it still build.
  [[deprecated("call all_reduce")]] void sum(at::Tensor& tensor) { all_reduce(tensor); }
  [[deprecated("call all_reduce")]] void sum(std::span<double> values) { all_reduce(values); }

  /// Starts the same sum and returns at once where the implementation can; `tensor` is not to be
  /// touched until it is done. One at a time: nothing else is called on this communicator
  /// meanwhile, and sums are started in the same order on all ranks. Its bits may differ from those
  /// of `all_reduce` (another algorithm), never from rank to rank.
  /// Sums of tensors on a GPU may be started one after another: they run in this order.
  virtual std::unique_ptr<Work> start_all_reduce(at::Tensor tensor);

  /// Leaves in this rank's slice of `tensor` (as for `all_reduce`) its sum over ranks; `cuts` say
  /// whose slice is where: Note [Slices] in core/parallel/slices.h. What stands in the other ranks'
  /// slices afterwards is of no use. Repeats its bits at one number of ranks, which need not be
  /// those of `all_reduce`. Throws RunError where `cuts` do not cut the tensor.
  virtual void reduce_scatter(at::Tensor& tensor, std::span<const std::int64_t> cuts);
  /// Starts the same, as `start_all_reduce` does, and under its rules.
  virtual std::unique_ptr<Work> start_reduce_scatter(at::Tensor tensor,
                                                     std::span<const std::int64_t> cuts);

  /// The other way: gives every rank what each has in its slice of `tensor` (contiguous, any
  /// dtype).
  virtual void all_gather(at::Tensor& tensor, std::span<const std::int64_t> cuts);
  /// Starts the same.
  virtual std::unique_ptr<Work> start_all_gather(at::Tensor tensor,
                                                 std::span<const std::int64_t> cuts);

  /// Overwrites `tensor` (contiguous, any dtype) with rank `root`'s.
  virtual void broadcast(at::Tensor& tensor, int root) = 0;
  /// Returns rank `root`'s bytes on every rank.
  virtual std::string broadcast(std::string bytes, int root) = 0;

  /// Every rank's bytes (small; may differ in length), indexed by rank, on every rank.
  virtual std::vector<std::string> all_gather(std::string_view bytes) = 0;

  /// Sends `tensor` (contiguous, in host memory, any dtype) to rank `to`, which receives one of the
  /// same size and type. Between these two ranks alone; what one rank sends to another arrives in
  /// order. Blocks until the tensor may be changed again, which may be as late as it is received.
  /// RunError where an implementation carries none (NCCL's, and that of a single rank).
  virtual void send(const at::Tensor& tensor, int to);
  /// Overwrites `tensor` with what rank `from` sends next to this rank. Blocks until it is there.
  virtual void receive(at::Tensor& tensor, int from);

  virtual void barrier() = 0;

  /// Says that a CUDA graph was queued on this thread's current stream which holds sums that this
  /// communicator, or one of those that share its GPU with it, was asked for while the graph was
  /// recorded: they are looked after like sums that were just asked for. Not a collective.
  virtual void recorded_work_queued() {}

  /// A new communicator over the ranks that give the same `color`, ordered by rank here.
  virtual std::unique_ptr<Communicator> split(int color) = 0;
};

/// Gives every rank rank 0's numbers in the place of its own, of which there may be more or fewer.
/// A collective.
template <class Number>
void broadcast_numbers(Communicator& communicator, std::vector<Number>& numbers) {
  if (communicator.size() == 1) return;
  const std::string told = communicator.broadcast(
      std::string(reinterpret_cast<const char*>(numbers.data()), numbers.size() * sizeof(Number)),
      /*root=*/0);
  numbers.resize(told.size() / sizeof(Number));
  std::copy_n(told.data(), numbers.size() * sizeof(Number),
              reinterpret_cast<char*>(numbers.data()));
}

}  // namespace thaw
