// The sandbox: a world of its own that a lab program moves into, and that vanishes with it.
//
// It has its own mounts (an empty /run), network (loopback only), PIDs, IPC and host name; for a
// program without root's rights a user namespace too, in which it is root. Nothing made inside -
// namespaces, devices, processes, mounts - outlives the program, however it ends: the kernel
// removes a PID namespace's processes when its init is gone, and the rest with its last user.
//
// Theory of operation. Three processes: the *supervisor* (the process that was started; it stays
// outside, passes signals in and ends as the worker ended), the *init* (process 1 inside: sets
// the world up, reaps orphans) and the *worker*, in which enter_sandbox() returns. The init dies
// with the supervisor (PR_SET_PDEATHSIG), and all inside with the init. Where /proc cannot be
// mounted (some containers) the PID namespace is left out: the init then kills what is left itself,
// which only a SIGKILL sent to the init prevents.
//
// Thread rule: call it first in main(), before any thread is started.
#pragma once

#include <string>

#include "vtl/base/result.h"

namespace vtl::lab {

/// What the sandbox is made of.
struct Sandbox {
  bool user_namespace = false;  ///< made without root's rights: root inside is the caller outside
  bool many_users = false;      ///< a whole range of users is mapped (newuidmap), not root alone
  bool pid_namespace = true;    ///< orphans of a crash are removed by the kernel itself
};

/// Returns inside the sandbox, with the folders of root's programs added to PATH, or, when none can
/// be made, in the calling process with the reason and what to do. Never returns in the supervisor.
[[nodiscard]] Outcome<Sandbox> try_enter_sandbox();

/// The same for main(): when no sandbox can be made, says why on stderr and exits with status 1.
Sandbox enter_sandbox();

/// Whether a sandbox can be made here, without entering it.
[[nodiscard]] Outcome<Sandbox> probe_sandbox();

/// The sandbox this process is in; an error that names enter_sandbox() when it is in none.
[[nodiscard]] Outcome<Sandbox> current_sandbox();

}  // namespace vtl::lab
