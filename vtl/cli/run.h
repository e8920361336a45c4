// run: from a configuration to a running engine and back. `vtl run`, `vtl check`, `vtl bridge`,
// and `vtl unseal` for what a run has left.
//
// Thread rule: the main thread.
#pragma once

#include <optional>
#include <string>

#include "vtl/config/config.h"

namespace vtl::cli {

/// Reads the file and tells its mistakes on standard error. Nothing is opened.
int check_file(const std::string& path);

/// Runs the file's configuration until a signal or `stop` ends it.
int run_file(const std::string& path);

struct BridgeArguments {
  std::string guest, network;  ///< devices
  std::uint32_t workers = 1;
  std::string socket;  ///< empty: no control socket
};

/// Runs a link without services between two devices.
int run_bridge(const BridgeArguments& arguments);

/// Takes the seal away that a VTL which has ended left on the device.
int unseal(const std::string& device);

}  // namespace vtl::cli
