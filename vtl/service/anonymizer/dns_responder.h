// DnsResponder: the answer to one DNS message, from the pool of names and from nowhere else.
//
// A and AAAA are answered with the address of the pool that stands for the name (AAAA only where
// the pool has IPv6), PTR with the name of an address of the pool, to the guest that asked for that
// name only: to others the address stands for none. In mode kResolve real addresses
// and names are wanted: then answer() says what has to be looked up, and finish() makes the answer
// of the result; names in .onion, which have no address, come from the pool there too. Every answer
// has at most kMaxAnswer octets, so none is ever too long for UDP.
//
// What else there is:
//   shorter than a header, a response        no answer
//   malformed, not one question, two OPT     FORMERR
//   another opcode or class, a meta type     NOTIMP; a zone transfer REFUSED
//   EDNS of another version (RFC 6891)       BADVERS; options, cookies too, are not looked at
//   any other type (HTTPS, TXT, MX...)       empty; ANY: the A record (RFC 8482 section 4.1)
//   localhost and below (RFC 6761)           127.0.0.1, ::1
//   ipv4only.arpa (RFC 8880)                 its two addresses, and no AAAA
//   reverse names that are not the pool's    NXDOMAIN; of mode kResolve if the egress list denies
//   them no host name, or like an address         NXDOMAIN: a label with other characters than
//   letters,
//                                            digits, - and _, or a number as the last one
//   denied by the egress list, as single labels and .local are without a rule   REFUSED
//   nothing to give in the pool              SERVFAIL
// All other names, .test and .invalid too, are names as any: whether one
// exists only the proxy can tell.
//
// Negative answers carry an SOA record of the root so that they are kept (RFC 2308) for as long as
// addresses. The question is given back as it came, upper and lower case too.
// Bounds: none of its own; it keeps nothing. Thread rule: one thread.
#pragma once

#include <cstdint>
#include <optional>
#include <span>

#include "vtl/base/counter.h"
#include "vtl/base/result.h"
#include "vtl/service/anonymizer/egress.h"
#include "vtl/service/anonymizer/name_pool.h"
#include "vtl/transport/proxy.h"
#include "vtl/wire/dns.h"

namespace vtl::service {

enum class DnsMode : std::uint8_t {
  kPool,     ///< names have addresses of the pool
  kResolve,  ///< names have the addresses that the proxy finds
};

/// A query as its answer needs it.
struct DnsAsked {
  wire::DnsHeader header;  ///< of the answer
  wire::DnsQuestion question;
  std::optional<wire::DnsEdns> edns;  ///< what the query said of itself
};

/// What a query comes to: an answer, something to look up first, or neither: no answer.
struct DnsOutcome {
  struct LookUp {
    transport::Host host;
    DnsAsked asked;
  };
  Bytes answer;
  std::optional<LookUp> look_up;
};

struct DnsCounters {
  Counter queries;          ///< messages of any kind
  Counter addresses;        ///< answers with an address
  Counter names;            ///< answers to PTR with a name
  Counter empty;            ///< answers without what was asked for, and no error
  Counter no_such_name;     ///< NXDOMAIN
  Counter refused;          ///< REFUSED
  Counter failed;           ///< SERVFAIL: no address to give, or the look-up failed
  Counter malformed;        ///< FORMERR
  Counter not_implemented;  ///< NOTIMP, BADVERS
  Counter ignored;          ///< no answer at all
  Counter look_ups;         ///< asked of the proxy
};

class DnsResponder {
 public:
  /// Octets that the longest answer has.
  static constexpr std::size_t kMaxAnswer = 512;

  /// Pool and list outlive the responder.
  DnsResponder(DnsMode mode, NamePool& pool, const EgressList& egress)
      : mode_(mode), pool_(pool), egress_(egress) {}

  /// `query`: a UDP payload, or what a length in front of it announced. The answer lies in `out`,
  /// of which kMaxAnswer octets are enough; what finds no room in less is left out and told so
  /// (TC).
  [[nodiscard]] DnsOutcome answer(Bytes query, MutableBytes out, GuestId guest, Time now);

  /// The answer in `out` to what was looked up. "Host unreachable" is how Tor says that a name has
  /// no address (or an address no name): NXDOMAIN. That it has none of a kind which the proxy
  /// takes says nothing of its other records, and NXDOMAIN would deny them all for as long as it is
  /// kept (RFC 2308 section 5): empty. Other failures are SERVFAIL. An address that the
  /// egress list denies is REFUSED: names of strangers must not lead into the host's own networks.
  [[nodiscard]] Bytes finish(const DnsAsked& asked,
                             const Result<transport::Host, transport::StreamError>& found,
                             MutableBytes out);

  [[nodiscard]] const DnsCounters& counters() const noexcept { return counters_; }

 private:
  [[nodiscard]] DnsOutcome answer_question(const DnsAsked& asked, MutableBytes out, GuestId guest,
                                           Time now);
  [[nodiscard]] DnsOutcome answer_reverse(const DnsAsked& asked, MutableBytes out, GuestId guest,
                                          Time now);
  [[nodiscard]] DnsOutcome answer_host(const DnsAsked& asked, MutableBytes out, GuestId guest,
                                       Time now);
  [[nodiscard]] Bytes write_addresses(const DnsAsked& asked,
                                      std::span<const wire::IpAddress> addresses, MutableBytes out);
  [[nodiscard]] Bytes write_name(const DnsAsked& asked, const wire::DnsName& name,
                                 MutableBytes out);
  /// kNoError: an empty answer.
  [[nodiscard]] Bytes write_nothing(const DnsAsked& asked, wire::DnsCode code, MutableBytes out);
  void count(wire::DnsCode code) noexcept;
  [[nodiscard]] std::uint32_t ttl_seconds() const noexcept;

  DnsMode mode_;
  NamePool& pool_;
  const EgressList& egress_;
  DnsCounters counters_;
};

}  // namespace vtl::service
