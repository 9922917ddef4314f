#pragma once

// What sources that simd_each.inc compiles may use (Note [Run-time dispatch]).

#include <cstdint>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include "core/kernels/random/dropout_draws.h"
#include "core/kernels/row_samples.h"
#include "core/kernels/simd/bfloat16_bits.h"
#include "core/kernels/simd/simd.h"
