// Privileges: what the process may do, given up as early as possible.
//
// Theory of operation. Linux keeps capabilities per thread; threads inherit them from the thread
// that makes them. So first, before any thread is made, everything goes but what opening interfaces
// and ports takes (limit_before_opening). When all is open, every thread that VTL made keeps only
// what running takes: the control thread here, each worker through the engine. A configured user is
// set by the C library on every thread of the process. Threads that a transport library made inside
// keep the first, already small set unless a user is configured, which takes theirs away too.
// Nothing can be gained back: no_new_privs is set.
//
// Thread rule: as each function says. Without root they change nothing that the caller lacks.
#pragma once

#include <string>

#include "vtl/base/result.h"

namespace vtl::cli {

/// What running needs once everything is open.
struct RunningRights {
  /// CAP_NET_ADMIN: socket buffers beyond the system's limit, and giving devices back as found.
  bool net_admin = false;
  /// CAP_NET_BIND_SERVICE: listening for a peer on a port below 1024, perhaps again.
  bool bind_service = false;
  /// Until change_user(): the C library ends the process when a thread may not follow it.
  bool change_user = false;
};

/// On the main thread, before any other exists. `changes_user`: change_user() will be called.
[[nodiscard]] Outcome<void> limit_before_opening(bool changes_user);

/// The calling thread will keep `rights` when the user changes; before change_user(), on each
/// thread.
void keep_over_user_change();
/// Sets user and its groups for all threads, by name.
[[nodiscard]] Outcome<void> change_user(const std::string& user);

/// The calling thread keeps only `rights`.
[[nodiscard]] Outcome<void> limit_to(RunningRights rights);

}  // namespace vtl::cli
