#pragma once

/// \file
/// All of the library.

#include "thaw/communicator.h"
#include "thaw/data_parallel.h"
#include "thaw/dataset.h"
#include "thaw/gpu.h"
#include "thaw/job_watch.h"
#include "thaw/schedule.h"
#include "thaw/sharded_optimizer.h"
#include "thaw/trainer.h"
