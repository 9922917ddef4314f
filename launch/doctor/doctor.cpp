#include <fmt/format.h>
#include <unistd.h>

#include <nlohmann/json.hpp>

#include "core/base/error.h"
#include "core/base/json_fields.h"
#include "core/base/json_text.h"
#include "core/parallel/communicator.h"
#include "dist/communicator/host_topology.h"
#include "launch/command/arguments.h"
#include "launch/command/subcommand.h"
#include "launch/command/version.h"
#include "launch/doctor/doctor_findings.h"
#include "launch/doctor/doctor_probes.h"
#include "launch/job/job.h"
#include "launch/terminal/screen.h"
#include "launch/terminal/text_table.h"

namespace thaw {

// `thaw doctor`: what a job runs on, looked at from each of its ranks. The ranks probe their hosts
// (doctor_probes.h), tell rank 0 as JSON, and rank 0 judges (doctor_findings.h, pure) and prints.
// Every rank ends with the same status, so that mpirun and srun report it.
ArgumentParser doctor_parser() {
  ArgumentParser parser(
      "doctor [--folder DIR]",
      "Looks at what a job runs on, as the ranks that the launcher started find it: mpirun -n 8 "
      "thaw doctor. Ends with 2 where something is wrong.");
  parser.option("folder", "where runs will be kept", "runs");
  return parser;
}

namespace {

using Json = nlohmann::json;

/// A rank's facts as they travel to the others; `from_text` reads them.
std::string to_text(const RankFacts& facts) {
  return json_text(Json{{"host", facts.host},
                        {"local_rank", facts.local_rank},
                        {"local_size", facts.local_size},
                        {"cores", facts.cores},
                        {"cores_of_host", facts.cores_of_host},
                        {"threads", facts.threads},
                        {"core_list", facts.core_list},
                        {"gpus", facts.gpus},
                        {"built_with_cuda", facts.built_with_cuda},
                        {"versions", facts.versions},
                        {"shared_memory_bytes", facts.shared_memory_bytes},
                        {"folder_problem", facts.folder_problem},
                        {"sees_the_others_file", facts.sees_the_others_file},
                        {"lock_problem", facts.lock_problem},
                        {"fsync_seconds", facts.fsync_seconds},
                        {"write_bytes_per_second", facts.write_bytes_per_second}});
}

RankFacts from_text(const std::string& text) {
  const auto json = nlohmann::ordered_json::parse(text);
  JsonReader fields(json);
  RankFacts facts;
  fields("host", facts.host);
  fields("local_rank", facts.local_rank);
  fields("local_size", facts.local_size);
  fields("cores", facts.cores);
  fields("cores_of_host", facts.cores_of_host);
  fields("threads", facts.threads);
  fields("core_list", facts.core_list);
  fields("gpus", facts.gpus);
  fields("built_with_cuda", facts.built_with_cuda);
  fields("versions", facts.versions);
  fields("shared_memory_bytes", facts.shared_memory_bytes);
  fields("folder_problem", facts.folder_problem);
  fields("sees_the_others_file", facts.sees_the_others_file);
  fields("lock_problem", facts.lock_problem);
  fields("fsync_seconds", facts.fsync_seconds);
  fields("write_bytes_per_second", facts.write_bytes_per_second);
  return facts;
}

/// A row a rank. Rank 0 alone prints.
void print_ranks(const std::vector<RankFacts>& ranks) {
  TextTable table(
      {">rank", "host", ">local rank", "cores", ">threads", ">GPUs", ">fsync", ">written/s"});
  for (std::size_t rank = 0; rank < ranks.size(); ++rank) {
    const RankFacts& facts = ranks[rank];
    table.row({fmt::format("{}", rank), facts.host, fmt::format("{}", facts.local_rank),
               fmt::format("{} of {}", facts.core_list, facts.cores_of_host),
               fmt::format("{}", facts.threads), fmt::format("{}", facts.gpus),
               fmt::format("{:.1f} ms", 1e3 * facts.fsync_seconds),
               bytes_text(static_cast<std::int64_t>(facts.write_bytes_per_second))});
  }
  constexpr std::size_t kUsualColumns = 120;  // of a screen that does not tell, and of files
  fmt::print("{}", table.text(screen_columns(STDOUT_FILENO, kUsualColumns)));
}

/// How fast the ranks add up, for several sizes; nothing at one rank.
void print_sums(const std::vector<BandwidthFacts>& sums, std::size_t ranks, const char* where) {
  for (const BandwidthFacts& sum : sums) {
    fmt::print("  sum of {} over {} ranks{}: {:.2f} ms, {}/s a rank\n", bytes_text(sum.bytes),
               ranks, where, 1e3 * sum.seconds,
               bytes_text(static_cast<std::int64_t>(
                   sum.bytes_per_second(static_cast<std::int64_t>(ranks)))));
  }
}

/// Whether there is a fault.
bool print_findings(const std::vector<Finding>& findings) {
  bool any_fault = false;
  for (const Finding& finding : findings) {
    any_fault = any_fault || finding.fault;
    fmt::print("{}: {}\n  to do: {}\n", finding.fault ? "FAULT" : "note", finding.what,
               finding.fix);
  }
  if (!any_fault) fmt::print("nothing is wrong\n");
  return any_fault;
}

ExitStatus examine(const std::vector<std::string>& command_line, Communicator& communicator) {
  const std::optional<ArgumentParser::Parsed> parsed =
      doctor_parser().parse(command_line, communicator);
  if (!parsed) {
    return ExitStatus::kDone;
  }
  const std::string folder = (*parsed)["folder"];
  const HostTopology topology = discover_topology(communicator);
  std::vector<RankFacts> ranks;
  for (const std::string& text :
       communicator.all_gather(to_text(probe_rank(topology, folder, communicator)))) {
    ranks.push_back(from_text(text));
  }
  const std::vector<BandwidthFacts> sums = probe_sums(communicator);
  std::vector<BandwidthFacts> gpu_sums;
  std::string gpu_problem;
  try {
    gpu_sums = probe_gpu_sums(topology, communicator);
  } catch (const Error& error) {
    gpu_problem = error.what();
  }
  bool any_fault = false;
  if (communicator.rank() == 0) {
    fmt::print("{}", version_text());
    print_ranks(ranks);
    print_sums(sums, ranks.size(), "");
    print_sums(gpu_sums, ranks.size(), "' GPUs, by NCCL");
    std::vector<Finding> findings = doctor_findings(ranks, sums, folder);
    if (!gpu_problem.empty()) {
      findings.push_back(
          {true, fmt::format("ranks cannot add up on their GPUs: {}", gpu_problem),
           "NCCL_DEBUG=INFO tells what NCCL tried; train.device = \"cpu\" does without"});
    }
    any_fault = print_findings(findings);
  }
  const bool agreed_fault = communicator.broadcast(any_fault ? "fault" : "", 0) == "fault";
  return agreed_fault ? ExitStatus::kBadInput : ExitStatus::kDone;
}

}  // namespace

int run_doctor(std::vector<std::string> arguments) {
  return run_job([&](Communicator& communicator) { return examine(arguments, communicator); });
}

}  // namespace thaw
