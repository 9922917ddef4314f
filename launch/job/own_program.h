#pragma once

#include <string>

namespace thaw {

/// How this same command is started again, here or as ranks on other hosts: the program's file, or
/// the script of a package that finds LibTorch for it (launch/package/thaw.in) where that started
/// it. Absolute.
std::string own_program();

}  // namespace thaw
