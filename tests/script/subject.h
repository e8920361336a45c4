// Subject: whose TCP a story is about. One text, two subjects: VTL's Endpoint on a virtual clock
// (endpoint_subject.cc) and the Linux kernel's TCP behind a socket (kernel/kernel_subject.cc). A
// program links one of them, and make_subject() makes it.
//
// A subject has two sides: the wire, on which the story plays the peer, and the calls of the
// program that uses the connection. Sequence numbers here are those of the wire.
// Thread rule: one thread.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "vtl/base/time.h"
#include "vtl/endpoint/endpoint.h"

namespace vtl::endpoint::script {

/// A segment that the subject sent.
struct Sent {
  wire::TcpFields header;
  std::string data;
  std::uint16_t segment_size = 0;  ///< 0: not a super-frame to be cut
  bool retransmission = false;
  bool ect = false;  ///< the IP header said ECT(0)
};

class Subject {
 public:
  Subject() = default;
  Subject(const Subject&) = delete;
  Subject& operator=(const Subject&) = delete;
  virtual ~Subject() = default;

  // Opening.
  virtual void connect() = 0;
  /// A SYN arrives at somebody who listens.
  virtual void listen(const Segment& syn, bool hold) = 0;

  // The wire.
  virtual void deliver(const Segment& segment) = 0;
  /// All that was sent by now in answer to what was delivered and called. At least `expected`
  /// segments, if the subject can still bring them within its patience.
  virtual std::vector<Sent> take(std::size_t expected) = 0;
  /// An ICMP error about the connection: port unreachable if `hard`, else host unreachable.
  virtual void icmp_error(bool hard) = 0;
  /// An ICMP error: the segment at `seq` did not fit a link of that MTU. Unset: the last one sent.
  virtual void icmp_too_big(std::uint16_t mtu, std::optional<wire::SeqNum> seq) = 0;

  // The clock.
  [[nodiscard]] virtual Time now() const = 0;
  /// Lets time pass until something is sent (true) or `limit` is reached. What is due exactly then
  /// is not sent yet.
  virtual bool run_until(Time limit) = 0;
  /// How far behind its moment something may happen.
  [[nodiscard]] virtual Duration lateness() const = 0;

  // The program's calls.
  virtual std::size_t write(std::string_view text) = 0;
  virtual void shutdown() = 0;
  virtual void abort() = 0;
  /// Takes that many octets; answers how many there were.
  virtual std::size_t read(std::size_t octets) = 0;

  // What the program can learn.
  [[nodiscard]] virtual std::size_t readable() = 0;
  /// The first readable octets.
  [[nodiscard]] virtual std::string unread() = 0;
  [[nodiscard]] virtual bool at_end() = 0;
  /// All that was written, FIN included.
  [[nodiscard]] virtual bool all_acknowledged() = 0;
  [[nodiscard]] virtual std::uint16_t effective_mss() = 0;
  [[nodiscard]] virtual State state() = 0;
  /// Unset where there is nobody to tell: a connection that no program had accepted.
  [[nodiscard]] virtual std::optional<EndReason> reason() = 0;

  /// A setting of the kernel's net.ipv4, for this story.
  virtual void setting(const std::string& /*key*/, const std::string& /*value*/) {}
  /// Null unless the subject is one.
  [[nodiscard]] virtual Endpoint* endpoint() { return nullptr; }
};

/// Of this program. `iss`: the initial sequence number of the subject, where it can be chosen.
std::unique_ptr<Subject> make_subject(const Config& config, std::uint32_t iss);
/// Whether this program's subject is the kernel.
[[nodiscard]] bool subject_is_kernel() noexcept;

/// Tells a story to this program's subject.
void tell(void (*story)());

}  // namespace vtl::endpoint::script
