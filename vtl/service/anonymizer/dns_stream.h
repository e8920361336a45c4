// DnsStream: a stream whose far end is the responder: DNS over TCP as RFC 1035 section 4.2.2 and
// RFC 7766 have it, each message behind its length.
//
// Queries may come one behind the other without waiting; what has to be looked up is answered when
// it is found, out of order (RFC 7766 section 6.2.1.1). The far end shuts its side when this one is
// shut and all is answered; a message that is then cut short has no answer. A message that
// announces more than kMaxQuery octets, which no query has, breaks the stream with kProtocol.
//
// Bounds: write() takes a message only while there is room for its answer among those that nobody
// has read yet (`max_unread` octets) and among the look-ups under way (`max_look_ups`); so who asks
// and never reads holds that much, and kMaxQuery. Time is the reactor's now().
// Thread rule and invariants: as transport.h. It calls its handler through Reactor::post() only,
// on_open() first. Reactor, responder and handler outlive it; what `look_up` returns it keeps.
#pragma once

#include <absl/container/flat_hash_map.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "vtl/base/byte_queue.h"
#include "vtl/base/reactor.h"
#include "vtl/service/anonymizer/dns_responder.h"
#include "vtl/transport/proxy.h"
#include "vtl/transport/transport.h"

namespace vtl::service {

struct DnsStreamOptions {
  std::size_t max_unread = 16384;  ///< octets of answers; at least one answer's are taken
  std::size_t max_look_ups = 16;   ///< at least 1
};

class DnsStream final : public transport::Stream {
 public:
  static constexpr std::size_t kMaxQuery = 4096;
  /// As Proxy::look_up(); not called where the responder answers by itself. Null: there is no room
  /// for one more, and the answer is SERVFAIL.
  using LookUp = std::function<std::unique_ptr<transport::LookUp>(const transport::Host& host,
                                                                  transport::LookUpAnswer answer)>;

  DnsStream(Reactor& reactor, DnsResponder& responder, transport::StreamHandler& handler,
            GuestId guest, LookUp look_up, const DnsStreamOptions& options = {});

  [[nodiscard]] std::size_t write(Bytes bytes) override;
  [[nodiscard]] std::size_t read(MutableBytes out) override;
  [[nodiscard]] bool at_end() const noexcept override;
  void shutdown() override;
  void abort(transport::StreamError reason) override;
  [[nodiscard]] Duration round_trip() const noexcept override { return Duration::zero(); }
  [[nodiscard]] std::size_t unsent() const noexcept override { return 0; }

 private:
  struct Pending {
    DnsAsked asked;
    std::unique_ptr<transport::LookUp> look_up;
  };
  void post(void (DnsStream::*what)());
  [[nodiscard]] bool has_room() const noexcept;
  [[nodiscard]] std::size_t take(Bytes bytes);
  void ask(Bytes query);
  void found(std::uint64_t number, const Result<transport::Host, transport::StreamError>& host);
  void append(Bytes answer);
  void tell_reader();
  void tell_writer();
  void tell_reset();
  void call_open();
  void call_readable();
  void call_writable();
  void call_reset();

  Reactor& reactor_;
  DnsResponder& responder_;
  transport::StreamHandler* handler_;  // null: nothing more is called
  GuestId guest_;
  LookUp look_up_;
  DnsStreamOptions options_;
  std::vector<std::uint8_t> partial_;  // a message under way, its length in front
  ByteQueue unread_;
  absl::flat_hash_map<std::uint64_t, Pending> look_ups_;
  std::uint64_t next_look_up_ = 0;
  bool shut_ = false;
  bool broken_ = false;
  bool starved_ = true;   // owed an on_readable()
  bool blocked_ = false;  // owed an on_writable()
  std::shared_ptr<const bool> alive_ = std::make_shared<const bool>(true);
};

}  // namespace vtl::service
