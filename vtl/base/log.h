// The log: spdlog behind one name, to stderr, colours only on a terminal.
//
// Never on the data path: counters are for that. Messages say what happened and what to do, one
// line. Thread rule: any thread.
#pragma once

#include <spdlog/spdlog.h>

namespace vtl::log {

using spdlog::debug;
using spdlog::error;
using spdlog::info;
using spdlog::warn;

}  // namespace vtl::log
