#pragma once

/// \file
/// Schedules: written as `thaw::Schedule`, or as TOML, presets included, by
/// `thaw::parse_partial_configuration` and `thaw::resolve_schedule`.

#include "core/config/configuration_document.h"
#include "core/schedule/resolve_schedule.h"
#include "core/schedule/schedule.h"
