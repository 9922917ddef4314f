#pragma once

#include <exception>
#include <optional>
#include <span>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "core/base/error.h"
#include "core/parallel/communicator.h"

namespace torch::nn {
class Module;
}

namespace thaw {

struct Fact;
struct NamedTensor;

/// "rank 3" or "ranks 0-2, 5", from ranks in ascending order, for messages.
std::string rank_list(const std::vector<int>& ranks);

/// A failure of one rank, in words that can travel.
struct LocalFailure {
  ExitStatus status = ExitStatus::kFailed;
  std::string message;
};

/// The failure that `error` is: its own status, or kFailed for what is no thaw::Error.
LocalFailure failure_of(const std::exception& error);

/// A collective: each rank says whether it failed. Returns where none did; else every rank throws
/// the same Error (InputError, RunError, DisagreementError by the status; `agreed()` is true),
/// whose message holds each different failure once with the ranks and hosts it happened on. Where
/// all ranks failed alike, it is the message alone.
/// The status is that of the lowest failing rank.
void agree(Communicator& communicator, const std::optional<LocalFailure>& failure);

/// As above, with this rank's host named by the caller.
void agree(Communicator& communicator, const std::optional<LocalFailure>& failure,
           const std::string& host);

/// Calls `body` on every rank, then agrees: returns its result where all succeeded, else throws
/// the one Error on every rank. `body` must make no collective of its own: a rank that fails
/// inside would leave the others waiting.
///
///     Dataset data = agreed(communicator, [&] { return Dataset(path); });
template <typename Body>
std::invoke_result_t<Body> agreed(Communicator& communicator, Body&& body) {
  using Result = std::invoke_result_t<Body>;
  std::optional<LocalFailure> failure;
  if constexpr (std::is_void_v<Result>) {
    try {
      std::forward<Body>(body)();
    } catch (const std::exception& error) {
      failure = failure_of(error);
    }
    agree(communicator, failure);
  } else {
    std::optional<Result> result;
    try {
      result.emplace(std::forward<Body>(body)());
    } catch (const std::exception& error) {
      failure = failure_of(error);
    }
    agree(communicator, failure);
    return std::move(*result);
  }
}

/// What must be equal on all ranks for their tensors to be replicas of each other: names, order,
/// shapes, types, kinds of device, and which names are one tensor.
std::vector<Fact> replica_facts(std::span<const NamedTensor> parameters,
                                std::span<const NamedTensor> buffers);

/// A collective: overwrites each tensor with rank `root`'s, through host memory; any type, device
/// and memory layout (which may differ between the ranks). Outside of autograd.
void broadcast_tensors(Communicator& communicator, std::span<const NamedTensor> tensors,
                       int root = 0);

/// A collective: makes these tensors equal on all ranks. Throws DisagreementError on all ranks,
/// saying what differs and on which, where `replica_facts` are not equal; else every rank holds
/// rank 0's values afterwards.
void make_replicas(Communicator& communicator, std::span<const NamedTensor> parameters,
                   std::span<const NamedTensor> buffers);

/// The same for all parameters and buffers of a module.
void make_replicas(Communicator& communicator, const torch::nn::Module& module);

/// A module's parameters in the order of declaration; a tied one under each of its names.
std::vector<NamedTensor> named_parameters(const torch::nn::Module& module);
/// A module's buffers, likewise.
std::vector<NamedTensor> named_buffers(const torch::nn::Module& module);

}  // namespace thaw
