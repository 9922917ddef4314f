#include "core/parallel/agreement.h"

#include <c10/util/Exception.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <new>
#include <vector>

#include "core/base/system.h"

namespace thaw {

namespace {

constexpr char kSeparator = '\x1f';

/// A failure as bytes: status, host and message; empty for success.
std::string encode(const std::optional<LocalFailure>& failure, const std::string& host) {
  if (!failure) return {};
  return fmt::format("{}{}{}{}{}", static_cast<int>(failure->status), kSeparator, host, kSeparator,
                     failure->message);
}

/// One failure and everywhere it happened.
struct Finding {
  ExitStatus status;
  std::string message;
  std::vector<int> ranks;
  std::vector<std::string> hosts;
};

void add_finding(std::vector<Finding>& findings, int rank, const std::string& encoded) {
  const std::size_t first = encoded.find(kSeparator);
  const std::size_t second = encoded.find(kSeparator, first + 1);
  const auto status = static_cast<ExitStatus>(std::stoi(encoded.substr(0, first)));
  const std::string host = encoded.substr(first + 1, second - first - 1);
  const std::string message = encoded.substr(second + 1);

  auto finding = std::find_if(findings.begin(), findings.end(), [&](const Finding& known) {
    return known.status == status && known.message == message;
  });
  if (finding == findings.end()) {
    finding = findings.insert(finding, Finding{status, message, {}, {}});
  }
  finding->ranks.push_back(rank);
  if (std::find(finding->hosts.begin(), finding->hosts.end(), host) == finding->hosts.end()) {
    finding->hosts.push_back(host);
  }
}

std::string text_of(const Finding& finding) {
  return fmt::format("on {} ({} {}): {}", rank_list(finding.ranks),
                     finding.hosts.size() == 1 ? "host" : "hosts", fmt::join(finding.hosts, ", "),
                     finding.message);
}

[[noreturn]] void throw_agreed(ExitStatus status, const std::string& message) {
  const auto marked = [](auto error) {
    error.mark_agreed();
    return error;
  };
  switch (status) {
    case ExitStatus::kBadInput:
      throw marked(InputError(message));
    case ExitStatus::kFailed:
      throw marked(RunError(message));
    case ExitStatus::kDisagreement:
      throw marked(DisagreementError(message));
    default:
      throw marked(Error(status, message));
  }
}

}  // namespace

std::string rank_list(const std::vector<int>& ranks) {
  std::vector<std::string> runs;
  for (std::size_t first = 0; first < ranks.size();) {
    std::size_t last = first;
    while (last + 1 < ranks.size() && ranks[last + 1] == ranks[last] + 1) ++last;
    if (last - first < 2) {  // "1, 2" reads better than "1-2"
      for (std::size_t i = first; i <= last; ++i) runs.push_back(fmt::format("{}", ranks[i]));
    } else {
      runs.push_back(fmt::format("{}-{}", ranks[first], ranks[last]));
    }
    first = last + 1;
  }
  return fmt::format("{} {}", ranks.size() == 1 ? "rank" : "ranks", fmt::join(runs, ", "));
}

LocalFailure failure_of(const std::exception& error) {
  if (const auto* ours = dynamic_cast<const Error*>(&error)) return {ours->status(), ours->what()};
  if (const auto* torch = dynamic_cast<const c10::Error*>(&error)) {
    return {ExitStatus::kFailed, torch->what_without_backtrace()};
  }
  if (dynamic_cast<const std::bad_alloc*>(&error)) return {ExitStatus::kFailed, "out of memory"};
  return {ExitStatus::kFailed, error.what()};
}

void agree(Communicator& communicator, const std::optional<LocalFailure>& failure,
           const std::string& host) {
  const std::vector<std::string> all = communicator.all_gather(encode(failure, host));
  std::vector<Finding> findings;
  for (std::size_t rank = 0; rank < all.size(); ++rank) {
    if (!all[rank].empty()) add_finding(findings, static_cast<int>(rank), all[rank]);
  }
  if (findings.empty()) return;
  if (findings.size() == 1 && findings[0].ranks.size() == all.size()) {
    throw_agreed(findings[0].status, findings[0].message);
  }
  std::vector<std::string> texts;
  for (const Finding& finding : findings) texts.push_back(text_of(finding));
  throw_agreed(findings[0].status, fmt::format("{}", fmt::join(texts, "\n")));
}

void agree(Communicator& communicator, const std::optional<LocalFailure>& failure) {
  agree(communicator, failure, host_name());
}

}  // namespace thaw
