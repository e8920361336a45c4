// query: asks a running vtl and prints what it says. `vtl status`, `flows`, `stats`, `dump`,
// `stop`.
//
// Thread rule: the main thread.
#pragma once

#include <string>

#include "vtl/control/protocol.h"

namespace vtl::cli {

struct QueryArguments {
  std::string socket;
  bool json = false;  ///< the answer as it came, for scripts
};

int show_status(const QueryArguments& arguments);
int show_flows(const QueryArguments& arguments);
int show_stats(const QueryArguments& arguments);
int ask_to_stop(const QueryArguments& arguments);

/// Asks a service of a link to act; says `done` when it has.
int ask_to_act(const QueryArguments& arguments, const control::ActRequest& request,
               std::string_view done);

/// Writes pcapng to `file`, "-" for standard output, until interrupted.
int run_dump(const std::string& socket, const control::DumpRequest& request,
             const std::string& file);

}  // namespace vtl::cli
