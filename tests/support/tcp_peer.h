// Kernel TCP sockets in a lab host, driven from a thread of the test: what an unmodified program
// would do, with every octet accounted for.
//
// Sending makes a seeded pseudo-random stream and its SHA-256; receiving computes the SHA-256 of
// what came. Every call has a bound and answers with an error that says what the kernel said.
#pragma once

#include <cstdint>
#include <string>

#include "lab/fd.h"
#include "lab/host.h"
#include "vtl/base/result.h"
#include "vtl/base/time.h"

namespace vtl::test {

/// The SHA-256 of a stream and how long it was.
struct Digest {
  std::uint64_t octets = 0;
  std::string sha256;
  bool operator==(const Digest&) const = default;
};

class Tcp {
 public:
  /// A listening socket in `host`, any address.
  static Outcome<Tcp> listen(const lab::Host& host, std::uint16_t port);
  /// Connects from `host`. The error is the kernel's: "connect: Connection refused". A
  /// `source_port` is used again as soon as the kernel allows it.
  static Outcome<Tcp> connect(const lab::Host& host, const std::string& address, std::uint16_t port,
                              Duration bound = 30s, std::uint16_t source_port = 0);
  [[nodiscard]] Outcome<Tcp> accept(Duration bound = 30s);

  /// Sends `octets` of the stream of `seed`.
  Outcome<Digest> send(std::uint64_t seed, std::uint64_t octets, Duration bound = 600s);
  /// Receives to the end of the stream, or `limit` octets.
  Outcome<Digest> receive(std::uint64_t limit = UINT64_MAX, Duration bound = 600s);
  /// FIN.
  void shut_writing();
  /// RST.
  void reset();
  /// "10.0.0.1:40000", of the other end as this kernel sees it.
  [[nodiscard]] std::string peer() const;
  [[nodiscard]] std::string local() const;
  [[nodiscard]] int fd() const { return fd_.get(); }

 private:
  explicit Tcp(lab::Fd fd) : fd_(std::move(fd)) {}
  lab::Fd fd_;
};

struct TcpPair {
  Tcp client, server;
};

/// Sends `up` and `down` octets at once, shuts both directions and compares every octet with what
/// was sent. The error says which way differs or what failed.
Outcome<void> exchange(Tcp& client, Tcp& server, std::uint64_t up, std::uint64_t down);

}  // namespace vtl::test
