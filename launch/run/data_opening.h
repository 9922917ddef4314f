#pragma once

#include <string>
#include <vector>

#include "core/data/split.h"

namespace thaw {

class Dataset;
class StepMonitor;

/// Has thaw-hdf5-probe, which lies beside this command, read the data files `files` before this
/// process does: see Note [Files are read on trial]. Throws InputError for those that cannot be
/// read, or that crash HDF5's library, a line each. Where that program is not there, says so on
/// standard error and returns.
void try_data_files(const std::vector<std::string>& files);

/// Warns of what is taken as it stands, and is seldom meant: channels that look like columns, one
/// class alone.
void tell_doubtful(const Dataset& dataset);

/// Has data of texts take the tokenizer that `model.tokenizer` names, which an export will carry
/// along; "": none. Throws InputError, beginning with the option's name, where it cannot be read,
/// or is another than the one that made the data.
void take_named_tokenizer(Dataset& dataset, const std::string& path);

/// Shows on standard error how far the decoding of chunked data has come, on rank 0; and notes on
/// `monitor`, if there is one, that it goes on.
DecodeProgress decode_progress(int rank, StepMonitor* monitor = nullptr);

/// The same of reading what samples hold, which is shown only where it takes longer than a few
/// seconds.
DecodeProgress reading_progress(int rank, StepMonitor* monitor);

}  // namespace thaw
