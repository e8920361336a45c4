#include "vtl/transport/socks_proxy.h"

#include <algorithm>
#include <cassert>
#include <utility>

#include "vtl/transport/local_addresses.h"
#include "vtl/transport/socks_connection.h"
#include "vtl/transport/socks_state.h"
#include "vtl/transport/socks_stream.h"
#include "vtl/transport/tor_control.h"

namespace vtl::transport {
namespace {

/// A connection that ends when the proxy has taken the credentials, or has not.
class Probe final : public SocksConnection {
 public:
  Probe(SocksState& state, std::function<void()> on_failed)
      : SocksConnection(state, nullptr), on_failed_(std::move(on_failed)) {}

  void start(bool credentials) {
    SocksRequest request{SocksCommand::kConnect, "probe.invalid", wire::Port(1), {}};
    if (credentials) request.credentials = state().credentials_for("probe");
    dial(request, false, false);  // not all at once: the request is never sent
  }

 private:
  void on_answer(const SocksHandshake&) override {}
  void on_ready(Readiness, const bool&) override {}
  void on_timer(const bool&) override {}
  void on_failure(Failure, StreamError) override {
    const auto tell = std::move(on_failed_);  // it ends this object
    tell();
  }

  std::function<void()> on_failed_;
};

class SocksLookUp final : public LookUp, private SocksConnection {
 public:
  SocksLookUp(SocksState& state, SocksUser* user, LookUpAnswer answer)
      : SocksConnection(state, user), answer_(std::move(answer)) {}

  void start(const Host& host, std::string_view isolation) {
    const auto* name = std::get_if<std::string>(&host);
    if (!state().options().tor || !can_be_asked_for(host))
      return fail_soon(Failure::kRefused, StreamError::kRefused);
    dial({name != nullptr ? SocksCommand::kResolve : SocksCommand::kResolveAddress, host,
          wire::Port(0), state().credentials_for(isolation)},
         true, state().options().sends_all_at_once());
    of_name_ = name != nullptr;
  }

 private:
  void on_answer(const SocksHandshake& handshake) override {
    const Host& host = handshake.host();
    // A name has an address, and an address a name.
    const bool fits =
        std::holds_alternative<wire::IpAddress>(host) == of_name_ && can_be_asked_for(host);
    if (!fits) state().counters().protocol_errors.add();
    finish(fits ? Result<Host, StreamError>(host) : std::unexpected(StreamError::kProtocol));
  }
  void on_failure(Failure failure, StreamError reason) override {
    if (failure == Failure::kLimited) state().counters().limited.add();
    if (failure == Failure::kSilent) state().counters().timed_out.add();
    finish(std::unexpected(reason));
  }
  void on_ready(Readiness, const bool&) override {}
  void on_timer(const bool&) override {}

  void finish(Result<Host, StreamError> answer) {
    close(true);
    const auto tell = std::move(answer_);
    tell(std::move(answer));
  }

  bool of_name_ = false;
  LookUpAnswer answer_;
};

class SocksProxy final : public Proxy, public SocksState {
 public:
  SocksProxy(const SocksOptions& options, Reactor& reactor)
      : SocksState(options, reactor),
        backoff_(options.probe_min),
        next_probe_([this] { probe(); }) {
    if (!options.tor) own_.emplace();
    if (options.control && reactor.worker() == 0)
      control_.emplace(*options.control, options.name, reactor);
  }

  std::string_view kind() const noexcept override { return options().tor ? "tor" : "socks5"; }

  std::unique_ptr<Stream> open(const Destination& destination, std::string_view isolation,
                               StreamHandler& handler) override {
    return open_for(nullptr, destination, isolation, handler);
  }
  std::unique_ptr<Stream> open_for(SocksUser* user, const Destination& destination,
                                   std::string_view isolation, StreamHandler& handler) {
    auto stream = std::make_unique<SocksStream>(*this, user, handler);
    stream->open(destination, isolation);
    return stream;
  }

  bool looks_up() const noexcept override { return options().tor; }
  std::unique_ptr<LookUp> look_up(const Host& host, std::string_view isolation,
                                  LookUpAnswer answer) override {
    return look_up_for(nullptr, host, isolation, std::move(answer));
  }
  std::unique_ptr<LookUp> look_up_for(SocksUser* user, const Host& host, std::string_view isolation,
                                      LookUpAnswer answer) {
    SocksState::counters().look_ups.add();
    auto look_up = std::make_unique<SocksLookUp>(*this, user, std::move(answer));
    look_up->start(host, isolation);
    return look_up;
  }

  bool stands_at(const wire::IpAddress& address) override {
    return own_ && own_->contains(address);
  }

  std::unique_ptr<Proxy> share() override;
  bool up() const noexcept override { return SocksState::up(); }
  const ProxyCounters& counters() const noexcept override { return SocksState::counters(); }
  ProxyStatus status() const override {
    ProxyStatus status;
    status.kind = kind();
    status.address = options().address;
    status.up = up();
    status.tried = tried();
    status.error = error();
    status.streams = in_use();
    if (control_) status.tor = control_->status();
    return status;
  }

 private:
  void on_change() override {
    probe_.reset();
    backoff_ = options().probe_min;
    if (up())
      next_probe_.cancel();
    else
      probe_soon();
  }

  void probe_soon() { reactor().timers().arm(next_probe_, reactor().now() + backoff_); }

  void probe() {
    probe_ = std::make_unique<Probe>(*this, [this] {
      probe_.reset();
      backoff_ = std::min(2 * backoff_, options().probe_max);
      probe_soon();
    });
    probe_->start(failed_with_credentials());
  }

  Duration backoff_;
  Timer next_probe_;
  std::unique_ptr<Probe> probe_;
  std::optional<TorControl> control_;
  std::optional<LocalAddresses> own_;  // where this host's own addresses could be asked for
};

/// What one user sees of it.
class SocksShare final : public Proxy {
 public:
  explicit SocksShare(SocksProxy& proxy) : proxy_(proxy) { proxy_.add_user(); }
  ~SocksShare() override {
    assert(user_.in_use == 0 && "streams and look-ups are destroyed before their share");
    proxy_.remove_user();
  }
  SocksShare(const SocksShare&) = delete;
  SocksShare& operator=(const SocksShare&) = delete;

  std::string_view kind() const noexcept override { return proxy_.kind(); }
  std::unique_ptr<Stream> open(const Destination& destination, std::string_view isolation,
                               StreamHandler& handler) override {
    return proxy_.open_for(&user_, destination, isolation, handler);
  }
  bool looks_up() const noexcept override { return proxy_.looks_up(); }
  std::unique_ptr<LookUp> look_up(const Host& host, std::string_view isolation,
                                  LookUpAnswer answer) override {
    return proxy_.look_up_for(&user_, host, isolation, std::move(answer));
  }
  bool stands_at(const wire::IpAddress& address) override { return proxy_.stands_at(address); }
  bool up() const noexcept override { return proxy_.up(); }
  ProxyStatus status() const override {
    ProxyStatus status = proxy_.status();
    status.streams = user_.in_use;
    return status;
  }
  const ProxyCounters& counters() const noexcept override {
    return static_cast<const SocksProxy&>(proxy_).counters();
  }

 private:
  SocksProxy& proxy_;
  SocksUser user_;
};

std::unique_ptr<Proxy> SocksProxy::share() {
  return std::make_unique<SocksShare>(*this);
}

}  // namespace

Outcome<std::unique_ptr<Proxy>> make_socks(const SocksOptions& options, Reactor& reactor) {
  if (auto ok = check(options); !ok) return std::unexpected(ok.error());
  return std::make_unique<SocksProxy>(options, reactor);
}

}  // namespace vtl::transport
