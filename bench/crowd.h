// Crowd: programs of our own on the lab's hosts that open, serve and hold very many connections
// (connections.h), and how much memory those take.
//
// Thread rule: one thread. Every wait has a bound of two minutes at most.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "lab/host.h"

namespace vtl::bench {

using Crowd = std::vector<lab::Process>;

/// Starts this very program with other arguments; what it serves ends with its input.
[[nodiscard]] Outcome<lab::Process> start_own(const lab::Host& host,
                                              std::vector<std::string> arguments,
                                              const std::string& name);

/// More connections than the usual ports; queues that take many at once.
[[nodiscard]] Outcome<void> prepare_for_many(lab::Host& host);

/// As many servers as `count` connections need; all of them serve.
[[nodiscard]] Outcome<Crowd> start_servers(const lab::Host& host, std::uint32_t count = 1);

/// Opens `count` connections more from `host` to `target` and holds them until the crowd is
/// dispersed.
[[nodiscard]] Outcome<void> hold(const lab::Host& host, const std::string& target, Crowd& clients,
                                 std::uint32_t count);
[[nodiscard]] Outcome<void> disperse(Crowd& crowd);

/// Exchanges a second from `host` to `target`, where servers are. An error when more than one of a
/// hundred failed.
[[nodiscard]] Outcome<double> connection_rate(const lab::Host& host, const std::string& target,
                                              int seconds);

/// Octets of a process that no other shares, and its part of what is shared.
[[nodiscard]] Outcome<double> held_by(const lab::Process& process);
/// Octets in the kernel's own objects: sockets are among them.
[[nodiscard]] Outcome<double> held_by_kernel();

}  // namespace vtl::bench
