#pragma once

#include <cstdint>
#include <string>

#include "core/config/configuration.h"
#include "dist/forecast/step_forecast.h"

namespace thaw {

struct Network;
struct RunSetup;

/// What a configuration says of a job, for ranks of `threads` threads; their number is left at 1.
/// `train.micro-batch-tokens`, which cuts by samples' lengths, is not in it. Pure.
ForecastJob forecast_job(const Configuration& configuration, int threads);

/// Threads of a rank where there are at most `ranks`: those that the configuration gives, or those
/// that it would have if this machine had as many ranks as the fullest host of the network.
int threads_of_rank(const RunSetup& setup, const Network& network, std::int64_t ranks);

/// Throws InputError, which names `option`, for more ranks than training would start with.
void check_ranks(const std::string& option, std::int64_t ranks, const ForecastJob& job);

}  // namespace thaw
