// TorControl: what Tor tells about itself, asked for on its control port.
//
// One connection, kept; a question every `poll`. What fails ends it and is tried again after
// `poll`. Nothing waits: an answer that does not come within `timeout` ends the connection too. The
// log hears of changes only.
//
// Thread rule: the reactor's thread. Bounds: kPerTurn octets are read in a turn, and one line is
// held (tor_control_lines.h).
#pragma once

#include <array>
#include <memory>
#include <optional>
#include <string>

#include "vtl/base/descriptor.h"
#include "vtl/base/reactor.h"
#include "vtl/transport/tor_control_session.h"

namespace vtl::transport {

class TorControl {
 public:
  /// `name`: the proxy's, in messages. It begins at once.
  TorControl(const TorControlOptions& options, std::string name, Reactor& reactor);
  ~TorControl();

  /// Not reachable: only `error` says anything.
  [[nodiscard]] const TorStatus& status() const noexcept { return status_; }

 private:
  static constexpr std::size_t kPerTurn = 16384;

  void connect();
  void on_ready(Readiness ready);
  void on_timer();
  void send_some();
  void receive_some();
  void answered();
  void fail(std::string why);
  void set_interest();
  void arm(Duration in);

  const TorControlOptions options_;
  const std::string name_;
  Reactor& reactor_;
  TorStatus status_;
  bool told_ = false;  // the log knows of the failure
  bool connected_ = false;
  std::string output_;
  Readiness interest_ = Readiness::kNone;
  std::optional<TorControlSession> session_;
  Descriptor fd_;
  std::unique_ptr<FdWatch> watch_;
  Timer timer_;
};

}  // namespace vtl::transport
