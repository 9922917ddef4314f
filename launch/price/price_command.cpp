#include "launch/price/price_command.h"

#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <optional>

#include "core/data/dataset.h"
#include "core/parallel/agreement.h"
#include "core/parallel/one_rank.h"
#include "dist/communicator/host_topology.h"
#include "launch/command/arguments.h"
#include "launch/command/subcommand.h"
#include "launch/job/job.h"
#include "launch/job/job_process.h"
#include "launch/job/launch_command.h"
#include "launch/job/own_program.h"
#include "launch/price/price.h"
#include "launch/run/file_deadline.h"
#include "launch/run/run_setup.h"
#include "launch/simulate/named_network.h"
#include "launch/terminal/price_text.h"

namespace thaw {
namespace {

// Note [Who runs a price]
// A price of N ranks on this machine is measured by N ranks on this machine, since they share its
// memory's bandwidth, its cores' clock and its transport: nothing else comes to a few per cent.
// Started alone and asked about several, the command starts them itself, by mpirun, as `launch`
// does; under mpirun or srun the ranks that there are do it. Of a machine that is described, one
// process measures what a rank computes; the rest is the forecast's (dist/forecast).

struct PriceRequest {
  std::int64_t ranks = 0;  ///< 0: as many as there are
  std::string network;     ///< "": here
  bool json = false;
};

PriceRequest request_of(const ArgumentParser::Parsed& arguments) {
  PriceRequest request;
  const std::string ranks = arguments["ranks"];
  if (!ranks.empty()) request.ranks = whole_number_of("--ranks", ranks, 1, kMostRanks);
  request.network = arguments["network"];
  request.json = arguments.has("json");
  return request;
}

/// The same, where `started` ranks are to find the price.
PriceRequest request_of(const ArgumentParser::Parsed& arguments, int started) {
  PriceRequest request = request_of(arguments);
  if (!request.network.empty() && started > 1) {
    throw InputError("--network: one process measures for it; start it without mpirun or srun");
  }
  if (request.network.empty() && request.ranks > 0 && request.ranks != started) {
    throw InputError(
        fmt::format("--ranks {}: {} were started, and they are what is measured; leave --ranks out",
                    request.ranks, started));
  }
  return request;
}

void print_price(const Price& price, const PriceRequest& request, const std::string& data) {
  if (request.json) {
    fmt::print("{}\n", price_json(price));
    return;
  }
  fmt::print("{}\n\n{}", data, price_text(price));
}

/// On the ranks that there are. Where one is alone, it may be asked about a machine elsewhere.
ExitStatus tell_price(const std::vector<std::string>& command_line, Communicator& world) {
  const std::optional<ArgumentParser::Parsed> parsed = check_parser().parse(command_line, world);
  if (!parsed) return ExitStatus::kDone;
  const PriceRequest request = agreed(world, [&] { return request_of(*parsed, world.size()); });
  std::optional<Network> network;
  if (!request.network.empty()) network = named_network("--network", request.network);
  FileDeadline files(world);
  const RunSetup setup = set_up({.path = (*parsed)["CONFIG"],
                                 .overrides = parsed->overrides,
                                 .configured = files.by_configuration()},
                                world);
  const Schedule schedule = agreed_schedule(setup, world);
  if (world.rank() == 0) {
    fmt::print(stderr, "thaw: runs steps for some 10 s; longer where they are long\n");
  }
  const std::string data = setup.dataset->describe();  // a rehearsal leaves little of it
  if (network) {
    const std::int64_t ranks = std::max<std::int64_t>(1, request.ranks);
    print_price(price_elsewhere(setup, schedule, ranks, *network), request, data);
    return ExitStatus::kDone;
  }
  const std::unique_ptr<Communicator> tensors = tensor_communicator(setup, world);
  const std::optional<Price> found = price_here(setup, schedule, tensors ? *tensors : world);
  if (found) print_price(*found, request, data);
  return ExitStatus::kDone;
}

/// The same command as so many ranks of this machine; returns its status.
int price_by_ranks(const std::vector<std::string>& arguments, std::int64_t ranks) {
  const auto cores = static_cast<std::int64_t>(physical_cores(allowed_cpus()).size());
  if (ranks > cores) {
    throw InputError(fmt::format(
        "--ranks {}: there {} to be had here, and more ranks than cores tell nothing of a "
        "machine that has them; describe that with --network, or start so many ranks yourself "
        "(mpirun -n {} --oversubscribe thaw check …)",
        ranks, cores == 1 ? "is 1 core" : fmt::format("are {} cores", cores), ranks));
  }
  std::vector<std::string> command = mpirun_command(ranks);
  command.insert(command.end(), {"--bind-to", "none", own_program(), "check"});
  command.insert(command.end(), arguments.begin(), arguments.end());
  JobProcess job;
  return job.run(command, {});
}

}  // namespace

void add_price_options(ArgumentParser& parser) {
  parser.flag("predict",
              "what the run will cost, in place of the tables: by some seconds of real steps on "
              "this machine, by --ranks of them, or on --network: seconds, memory, bytes, what the "
              "prefix cache will do");
  parser.option("network",
                "with --predict: a machine that is described, by name or as a file that ends in "
                ".toml");
  parser.flag("json", "with --predict: as one JSON line");
}

bool asks_for_price(const std::vector<std::string>& arguments) {
  const std::optional<ArgumentParser::Parsed> parsed = check_parser().peek(arguments);
  return parsed && parsed->has("predict");
}

int run_price(std::vector<std::string> arguments) {
  if (find_launcher() != Launcher::kNone) {
    return run_job([&](Communicator& world) { return tell_price(arguments, world); });
  }
  let_root_start_mpirun();
  int status = 0;
  const int failed = run_alone([&] {
    const std::optional<ArgumentParser::Parsed> parsed = check_parser().parse(arguments);
    if (!parsed) return ExitStatus::kDone;
    const PriceRequest request = request_of(*parsed);
    if (request.ranks > 1 && request.network.empty()) {
      status = price_by_ranks(arguments, request.ranks);
      return ExitStatus::kDone;
    }
    return tell_price(arguments, *make_self_communicator());
  });
  return failed != 0 ? failed : status;
}

}  // namespace thaw
