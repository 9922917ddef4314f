#pragma once

/// \file
/// A watch over the ranks of a job that ends it, with status 4 and a name, where one hangs or dies:
/// `thaw::JobWatch`.

#include "dist/coordination/job_watch.h"
