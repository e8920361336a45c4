// GuestAnswers: what the anonymizer says to a guest that is no TCP connection: neighbours, the
// guest's configuration, names, echo.
//
// A frame is taken when it asks for something that is answered here, or that is for the network
// itself and needs no answer; else it is left to the caller, who drops it. Answers come from one
// made-up MAC address, the same for a link's name after every start.
//
// Look-ups that the proxy has to make (dns: resolve) wait here, at most kMaxLookUps of them,
// whether they were asked for over UDP or TCP; beyond that a question is dropped as memory-bound,
// and the guest asks again, or over TCP, where nobody would, it is answered with SERVFAIL. Of a
// question's frame no more is kept than its answer needs. Thread rule: the worker of the link.
#pragma once

#include <absl/container/flat_hash_map.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "vtl/base/siphash.h"
#include "vtl/base/timer_wheel.h"
#include "vtl/engine/service.h"
#include "vtl/service/anonymizer/dhcp_server.h"
#include "vtl/service/anonymizer/dns_responder.h"
#include "vtl/service/anonymizer/identities.h"
#include "vtl/service/anonymizer/neighbour_responder.h"
#include "vtl/service/anonymizer/options.h"
#include "vtl/service/tcp_frame.h"
#include "vtl/transport/proxy.h"

namespace vtl::service {

class GuestAnswers {
 public:
  static constexpr std::size_t kMaxLookUps = 1024;

  /// All outlive this.
  struct Parts {
    const AnonymizerOptions& options;
    NamePool& names;
    const EgressList& egress;
    transport::Proxy& proxy;
    const Identities& identities;
  };
  GuestAnswers(engine::ServiceContext& context, const Parts& parts);
  ~GuestAnswers();
  GuestAnswers(const GuestAnswers&) = delete;
  GuestAnswers& operator=(const GuestAnswers&) = delete;

  /// A frame of the guest's that is no fragment and has no error in its headers. False: it is none
  /// of those answered here, and still the caller's.
  [[nodiscard]] bool take(Packet& packet);
  /// The stream of a connection to port 53; `to_guest`: the way of its frames to the guest.
  [[nodiscard]] std::unique_ptr<transport::Stream> open_stream(const FramePath& to_guest,
                                                               transport::StreamHandler& handler);
  void list_metrics(std::vector<engine::ServiceMetric>& out) const;

 private:
  class CountedLookUp;
  /// A question over UDP that the proxy is asked: the frame that it came in, to be answered.
  struct Waiting {
    Packet question;
    DnsAsked asked;
    std::unique_ptr<transport::LookUp> look_up;
  };
  struct Counters {
    std::uint64_t echoes = 0, look_ups_limited = 0;
  };

  /// Who asks: the MAC and IP address together, as guests behind a router have one MAC, and as who
  /// takes another's IP address alone is to be told nothing of the other's. A network of IPv6 is
  /// one guest.
  [[nodiscard]] GuestId guest_of(const wire::MacAddress& mac, const wire::IpAddress& address,
                                 std::uint16_t vlan) const;
  void answer_dns(Packet packet);
  void look_up(Packet packet, DnsOutcome::LookUp look_up);
  /// Asks the proxy; null at kMaxLookUps.
  [[nodiscard]] std::unique_ptr<transport::LookUp> ask(const wire::IpAddress& guest,
                                                       std::uint16_t vlan,
                                                       const transport::Host& host,
                                                       transport::LookUpAnswer answer);
  void found(std::uint64_t number, const Result<transport::Host, transport::StreamError>& host);
  void emit(Packet packet);
  void advertise();
  [[nodiscard]] Time now() const { return context_.reactor().now(); }

  engine::ServiceContext& context_;
  Parts parts_;
  wire::MacAddress mac_;
  SipKey guest_key_{};
  DnsResponder dns_;
  std::optional<DhcpServer> dhcp_;
  std::optional<NeighbourResponder> neighbours_;
  Timer advertise_;
  // Under way, those of streams as well; each look-up holds it too.
  const std::shared_ptr<std::size_t> look_ups_ = std::make_shared<std::size_t>(0);
  absl::flat_hash_map<std::uint64_t, Waiting> waiting_;
  std::uint64_t next_question_ = 0;
  Counters counters_;
};

}  // namespace vtl::service
