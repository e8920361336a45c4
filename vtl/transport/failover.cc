#include "vtl/transport/failover.h"

#include <algorithm>
#include <cassert>
#include <cstdint>
#include <string>
#include <utility>

namespace vtl::transport {
namespace {

/// Whether a refusal says something of the proxy, and not of the destination.
bool is_the_proxys_fault(StreamError reason) {
  return reason == StreamError::kPeerDown || reason == StreamError::kNotAuthenticated ||
         reason == StreamError::kProtocol;
}

/// Which proxies are left to try, for one stream or look-up.
class Candidates {
 public:
  Candidates(const std::vector<Proxy*>& proxies, bool look_ups)
      : proxies_(&proxies), left_(proxies.size()) {
    for (std::size_t i = 0; i < proxies.size(); ++i) left_[i] = !look_ups || proxies[i]->looks_up();
  }
  /// The next one, which is not left after it; null when none is.
  Proxy* take() {
    for (const bool up : {true, false}) {
      for (std::size_t i = 0; i < proxies_->size(); ++i) {
        if (!left_[i] || (*proxies_)[i]->up() != up) continue;
        left_[i] = false;
        return (*proxies_)[i];
      }
    }
    return nullptr;
  }

 private:
  const std::vector<Proxy*>* proxies_;
  std::vector<bool> left_;
};

class FailoverStream final : public Stream, private StreamHandler {
 public:
  FailoverStream(const std::vector<Proxy*>& proxies, ProxyCounters& counters,
                 std::uint64_t& streams, const Destination& destination, std::string_view isolation,
                 StreamHandler& handler)
      : counters_(counters),
        streams_(streams),
        request_(std::make_unique<Request>(destination, std::string(isolation),
                                           Candidates(proxies, false))),
        handler_(handler) {
    ++streams_;
    (void)try_next();
  }
  ~FailoverStream() override { --streams_; }

  std::size_t write(Bytes bytes) override {
    const std::size_t n = stream_->write(bytes);
    counters_.bytes_out.add(n);
    return n;
  }
  std::size_t read(MutableBytes out) override {
    const std::size_t n = stream_->read(out);
    counters_.bytes_in.add(n);
    return n;
  }
  bool at_end() const noexcept override { return stream_->at_end(); }
  void shutdown() override { stream_->shutdown(); }
  void abort(StreamError reason) override { stream_->abort(reason); }
  Duration round_trip() const noexcept override { return stream_->round_trip(); }
  std::size_t unsent() const noexcept override { return stream_->unsent(); }

 private:
  struct Request {
    Destination destination;
    std::string isolation;
    Candidates candidates;
  };

  bool try_next() {
    Proxy* const proxy = request_->candidates.take();
    if (proxy == nullptr) return false;
    stream_ = proxy->open(request_->destination, request_->isolation, *this);
    return true;
  }

  void on_open() override {
    request_.reset();
    counters_.opened.add();
    handler_.on_open();
  }
  void on_refused(StreamError reason) override {
    if (is_the_proxys_fault(reason) && try_next()) return;
    counters_.refused.add();
    handler_.on_refused(reason);
  }
  void on_readable() override { handler_.on_readable(); }
  void on_writable() override { handler_.on_writable(); }
  void on_reset(StreamError reason) override {
    counters_.reset.add();
    handler_.on_reset(reason);
  }

  ProxyCounters& counters_;
  std::uint64_t& streams_;
  std::unique_ptr<Request> request_;  // until it is open
  StreamHandler& handler_;
  std::unique_ptr<Stream> stream_;
};

class FailoverLookUp final : public LookUp {
 public:
  FailoverLookUp(const std::vector<Proxy*>& proxies, Host host, std::string_view isolation,
                 LookUpAnswer answer)
      : candidates_(proxies, true),
        host_(std::move(host)),
        isolation_(isolation),
        answer_(std::move(answer)) {
    Proxy* first = candidates_.take();
    // Where none makes look-ups, the first one's refusal is the answer.
    ask(first != nullptr ? *first : *proxies.front());
  }

 private:
  void ask(Proxy& proxy) {
    look_up_ = proxy.look_up(host_, isolation_,
                             [this](Result<Host, StreamError> answer) { take(std::move(answer)); });
  }
  void take(Result<Host, StreamError> answer) {
    if (!answer && is_the_proxys_fault(answer.error())) {
      if (Proxy* const next = candidates_.take(); next != nullptr) return ask(*next);
    }
    const auto tell = std::move(answer_);
    tell(std::move(answer));
  }

  Candidates candidates_;
  Host host_;
  std::string isolation_;
  LookUpAnswer answer_;
  std::unique_ptr<LookUp> look_up_;
};

class Failover final : public Proxy {
 public:
  explicit Failover(std::vector<Proxy*> proxies) : proxies_(std::move(proxies)) {
    assert(!proxies_.empty() && "there is a proxy to try");
  }
  ~Failover() override { assert(streams_ == 0 && "streams are destroyed before their proxy"); }

  std::string_view kind() const noexcept override { return "failover"; }
  std::unique_ptr<Stream> open(const Destination& destination, std::string_view isolation,
                               StreamHandler& handler) override {
    return std::make_unique<FailoverStream>(proxies_, counters_, streams_, destination, isolation,
                                            handler);
  }
  bool looks_up() const noexcept override {
    for (const Proxy* proxy : proxies_)
      if (proxy->looks_up()) return true;
    return false;
  }
  std::unique_ptr<LookUp> look_up(const Host& host, std::string_view isolation,
                                  LookUpAnswer answer) override {
    counters_.look_ups.add();
    return std::make_unique<FailoverLookUp>(proxies_, host, isolation, std::move(answer));
  }
  bool stands_at(const wire::IpAddress& address) override {
    return std::ranges::any_of(proxies_, [&](Proxy* proxy) { return proxy->stands_at(address); });
  }
  bool up() const noexcept override {
    for (const Proxy* proxy : proxies_)
      if (proxy->up()) return true;
    return false;
  }
  /// The address and the error are those of the proxy that the next stream tries first.
  ProxyStatus status() const override {
    const Proxy* first = proxies_.front();
    for (auto at = proxies_.rbegin(); at != proxies_.rend(); ++at)
      if ((*at)->up()) first = *at;
    ProxyStatus status = first->status();
    status.kind = kind();
    status.streams = streams_;
    return status;
  }
  const ProxyCounters& counters() const noexcept override { return counters_; }

 private:
  std::vector<Proxy*> proxies_;
  ProxyCounters counters_;
  std::uint64_t streams_ = 0;
};

}  // namespace

std::unique_ptr<Proxy> make_failover(std::vector<Proxy*> proxies) {
  return std::make_unique<Failover>(std::move(proxies));
}

}  // namespace vtl::transport
