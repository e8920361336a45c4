// The subject of script_endpoint: an Endpoint on a virtual clock.
#include <gtest/gtest.h>

#include <algorithm>

#include "tests/script/subject.h"

namespace vtl::endpoint::script {
namespace {

constexpr Endpoint::Identity kIdentity{wire::Port(80), wire::Port(4000)};

class EndpointSubject final : public Subject {
 public:
  EndpointSubject(const Config& config, std::uint32_t iss) : config_(config), iss_(iss) {}

  void connect() override { endpoint_ = Endpoint::connect(config_, kIdentity, iss_, now_); }
  void listen(const Segment& syn, bool hold) override {
    endpoint_ = Endpoint::accept_syn(config_, kIdentity, iss_, syn, hold, now_);
  }

  void deliver(const Segment& segment) override {
    if (endpoint_->yields_to(segment)) {  // the part of the table of connections
      listen(segment, false);
    } else {
      endpoint_->process(segment, now_);
    }
  }
  std::vector<Sent> take(std::size_t /*expected*/) override {
    run();
    return std::exchange(sent_, {});
  }
  void icmp_error(bool hard) override { endpoint_->icmp_error(hard, now_); }
  void icmp_too_big(std::uint16_t mtu, std::optional<wire::SeqNum> seq) override {
    endpoint_->packet_too_big(static_cast<std::uint16_t>(mtu - 40), seq.value_or(data_seq_), now_);
  }

  [[nodiscard]] Time now() const override { return now_; }
  bool run_until(Time limit) override {
    run();
    for (int turn = 0; turn < 100000 && sent_.empty(); ++turn) {
      const Time next = endpoint_->poll_at(now_);
      if (next >= limit) {
        now_ = std::max(now_, limit);
        break;
      }
      now_ = std::max(now_, next);
      run();
    }
    return !sent_.empty();
  }
  [[nodiscard]] Duration lateness() const override { return 1ms; }

  std::size_t write(std::string_view text) override {
    return endpoint_->write(Bytes(reinterpret_cast<const std::uint8_t*>(text.data()), text.size()),
                            now_);
  }
  void shutdown() override { endpoint_->shutdown(now_); }
  void abort() override { endpoint_->abort(now_); }
  std::size_t read(std::size_t octets) override {
    std::size_t done = 0;
    while (done < octets) {
      const std::size_t step = std::min(octets - done, endpoint_->peek().size());
      if (step == 0) break;
      endpoint_->consume(step, now_);
      done += step;
    }
    return done;
  }

  std::size_t readable() override { return endpoint_->readable(); }
  std::string unread() override {
    const Bytes bytes = endpoint_->peek();
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
  }
  bool at_end() override { return endpoint_->at_end(); }
  bool all_acknowledged() override { return endpoint_->all_acknowledged(); }
  std::uint16_t effective_mss() override { return endpoint_->effective_mss(); }
  State state() override { return endpoint_->state(); }
  std::optional<EndReason> reason() override { return endpoint_->end_reason(); }
  Endpoint* endpoint() override { return &*endpoint_; }

 private:
  void run() {
    for (int turn = 0; turn < 1000; ++turn) {
      if (endpoint_->poll_at(now_) > now_) return;
      endpoint_->dispatch(now_, [&](const OutSegment& out) {
        Sent sent{out.header, {}, out.segment_size, out.retransmission, out.ect};
        for (const Bytes piece : out.payload) {
          sent.data.append(reinterpret_cast<const char*>(piece.data()), piece.size());
        }
        EXPECT_EQ(sent.data.size(), out.payload_size);
        if (out.payload_size > 0) data_seq_ = out.header.seq;
        sent_.push_back(std::move(sent));
        return true;
      });
    }
    ADD_FAILURE() << "poll_at() says now, but dispatch() makes no progress";
  }

  Config config_;
  wire::SeqNum iss_;
  Time now_{Duration{100s}};
  std::optional<Endpoint> endpoint_;
  std::vector<Sent> sent_;
  wire::SeqNum data_seq_;  // of the last segment with data
};

}  // namespace

std::unique_ptr<Subject> make_subject(const Config& config, std::uint32_t iss) {
  return std::make_unique<EndpointSubject>(config, iss);
}

void tell(void (*story)()) {
  story();
}

bool subject_is_kernel() noexcept {
  return false;
}

}  // namespace vtl::endpoint::script
