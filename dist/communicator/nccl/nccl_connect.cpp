#include "dist/communicator/nccl/nccl_connect.h"

#include <algorithm>
#include <array>
#include <exception>
#include <optional>
#include <string>
#include <thread>
#include <utility>

#include "core/base/error.h"
#include "core/base/system.h"
#include "core/parallel/agreement.h"

namespace thaw {

namespace {

// Note [Joining together]
// NCCL's ranks wait for each other while they join, each on a thread for just that. A rank whose
// call has failed would leave the others waiting until their deadline, so meanwhile all ranks meet
// over the host's communicator again and again: each tells whether it has joined or failed. NCCL's
// progress does not depend on these meetings, nor they on NCCL's. At the first failure all give up
// at once, and agree on what was wrong.

constexpr std::chrono::milliseconds kLongestConnectPause{20};

constexpr const char* kSharedGpuHint =
    " (NCCL takes one rank a GPU. For two ranks on one, for tests: NCCL_MULTI_RANK_GPU_ENABLE=1, "
    "see README)";

LocalFailure failure_with_hint(const std::exception& error) {
  LocalFailure failure = failure_of(error);
  if (failure.message.find("Duplicate GPU") != std::string::npos) failure.message += kSharedGpuHint;
  return failure;
}

NcclId shared_id(Communicator& host, NcclApi& api) {
  NcclId id = {};
  agreed(host, [&] {
    if (host.rank() != 0) return;
    const NcclStatus status = api.make_id(id);
    if (status == NcclStatus::kSuccess) return;
    const std::string words = api.last_error(nullptr);
    throw RunError("NCCL cannot start: " + std::string(nccl_status_text(status)) +
                   (words.empty() ? "" : ": " + words));
  });
  const std::string bytes = host.broadcast(std::string(id.data(), id.size()), /*root=*/0);
  std::copy_n(bytes.data(), std::min(bytes.size(), id.size()), id.data());
  return id;
}

}  // namespace

std::unique_ptr<NcclLink> connect_ranks(Communicator& host, const std::shared_ptr<NcclApi>& api,
                                        std::shared_ptr<GpuStream> stream,
                                        std::shared_ptr<NcclWatch> watch,
                                        std::chrono::milliseconds deadline,
                                        std::chrono::milliseconds patience) {
  const NcclId id = shared_id(host, *api);
  auto link = std::make_unique<NcclLink>(
      api, std::move(stream), std::move(watch),
      NcclLink::Settings{
          .deadline = deadline, .patience = patience, .rank = host.rank(), .host = host_name()});

  std::optional<LocalFailure> failure;
  bool has_joined = false;
  const auto attempt = [&](const auto& body) {
    try {
      body();
    } catch (const std::exception& error) {
      failure = failure_with_hint(error);
    }
  };
  attempt([&] { link->join(host.size(), id); });
  std::array<double, 2> joined_and_failed{};
  for (std::chrono::milliseconds pause{1};; pause = std::min(pause * 2, kLongestConnectPause)) {
    if (!failure && !has_joined) attempt([&] { has_joined = link->joined(); });
    joined_and_failed = {has_joined ? 1.0 : 0.0, failure ? 1.0 : 0.0};
    host.all_reduce(joined_and_failed);
    if (joined_and_failed[1] > 0 || joined_and_failed[0] == host.size()) break;
    std::this_thread::sleep_for(pause);
  }
  agree(host, failure);  // aborts the link where it throws
  return link;
}

}  // namespace thaw
