#include "core/kernels/gpu/rows/embed_rows.h"

#include "core/kernels/gpu/launch.inc"

THAW_LAUNCHES(EmbedRows)
THAW_LAUNCHES(AddSortedRows)
THAW_LAUNCHES(AddBorderRows)
THAW_LAUNCHES(AddPlaceRows)
THAW_LAUNCHES(AddTypeRows)
