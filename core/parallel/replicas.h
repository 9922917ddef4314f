#pragma once

#include <span>
#include <vector>

#include "core/parallel/communicator.h"
#include "core/parallel/stage_coordinator.h"

namespace torch::nn {
class Module;
}

namespace thaw {

struct Fact;

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
