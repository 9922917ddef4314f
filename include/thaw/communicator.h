#pragma once

/// \file
/// Communicators and the errors of Thaw: `thaw::MpiSession::run` for a program under mpirun or
/// srun, `thaw::make_self_communicator` for one process alone, `thaw::run_ranks` for ranks as
/// threads.

#include "core/base/error.h"
#include "core/parallel/agreement.h"
#include "core/parallel/communicator.h"
#include "core/parallel/one_rank.h"
#include "dist/communicator/in_process/in_process.h"
#include "dist/communicator/mpi/mpi_session.h"
