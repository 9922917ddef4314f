#pragma once

/// \file
/// The whole job for a module of your own: `thaw::ModuleModel` and `thaw::Trainer`; gradient
/// checkpointing for its layers: `thaw::recomputed`; an optimizer of your own: `thaw::Optimizer`;
/// what is learnt: `thaw::make_task`, or a `thaw::Task` of your own.

#include "core/data/batch.h"
#include "core/models/layers/recomputation.h"
#include "core/models/module_model.h"
#include "core/parallel/agreement.h"
#include "core/step/optimizer.h"
#include "core/train/trainer.h"
#include "dist/coordination/unfreezing_coordinator.h"
#include "thaw/communicator.h"
#include "thaw/dataset.h"
#include "thaw/schedule.h"
