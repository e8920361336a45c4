// RatePath: UDT senders and receivers around one bottleneck, on a virtual clock.
//
//   sender 0 --+                                       +--> receiver 0
//   sender 1 --+--> [ queue | rate ] --> delay, loss --+--> receiver 1
//
// What libudt does and a rate control sees: a full acknowledgement with the first packet 10 ms
// after the last one, a light one every 64 packets that moves the window alone, a loss report at
// once and never twice, holes sent again before anything new, and after 300 ms of silence
// everything that is not acknowledged. Senders act every `kStep`, as hosts do. Seeded: a scene
// repeats exactly.
#pragma once

#include <algorithm>
#include <cstdint>
#include <deque>
#include <set>
#include <vector>

#include "vtl/base/rng.h"
#include "vtl/transport/rate_control.h"

namespace vtl::transport::test {

struct PathSettings {
  double rate_mbit = 1000;
  Duration round_trip = 60ms;
  Duration queue = 60ms;
  double loss = 0;             // of data, by chance
  std::size_t window = 12000;  // packets, of the protocol
  std::size_t senders = 1;
};

class RatePath {
 public:
  static constexpr Duration kStep = 250us;
  static constexpr double kPacketBits = 1500 * 8;

  explicit RatePath(const PathSettings& settings) : settings_(settings) {
    for (std::size_t i = 0; i < settings.senders; ++i)
      ends_.push_back(std::make_unique<End>(settings.window, static_cast<std::uint32_t>(i), now_));
  }

  /// Sender `i` has nothing to send before `at`, and nothing after `until`.
  void active(std::size_t i, Duration at, Duration until = 1h) {
    ends_[i]->from = kStart + at;
    ends_[i]->until = kStart + until;
  }
  void set_rate(double mbit) { settings_.rate_mbit = mbit; }
  void set_loss(double share) { settings_.loss = share; }
  /// The route changes to a longer one.
  void set_round_trip(Duration longer) { settings_.round_trip = longer; }

  void run(Duration by) {
    for (const Time end = now_ + by; now_ < end; now_ += kStep) {
      arrive();
      for (std::size_t i = 0; i < ends_.size(); ++i) send(i);
      const double waiting = std::chrono::duration<double>(queue()).count();
      queue_sum_ += waiting;
      ++steps_;
    }
  }

  /// Begins to count anew.
  void mark() {
    for (auto& end : ends_) end->delivered = end->offered = end->dropped = 0;
    queue_sum_ = 0;
    steps_ = 0;
    marked_ = now_;
  }
  /// Since mark(): what receiver `i` could read, as a share of the bottleneck's rate.
  [[nodiscard]] double share(std::size_t i) const {
    const double span = std::chrono::duration<double>(now_ - marked_).count();
    return static_cast<double>(ends_[i]->delivered) * kPacketBits / (settings_.rate_mbit * 1e6) /
           span;
  }
  /// Since mark(): of the packets of all senders, what the full queue dropped.
  [[nodiscard]] double drop_share() const {
    double dropped = 0;
    double offered = 0;
    for (const auto& end : ends_) {
      dropped += static_cast<double>(end->dropped);
      offered += static_cast<double>(end->offered);
    }
    return offered > 0 ? dropped / offered : 0;
  }
  /// Since mark(): how long a packet waited in the queue, on average.
  [[nodiscard]] Duration mean_queue() const {
    return std::chrono::duration_cast<Duration>(
        std::chrono::duration<double>(queue_sum_ / static_cast<double>(steps_)));
  }
  [[nodiscard]] const RateControl& control(std::size_t i) const { return ends_[i]->control; }
  [[nodiscard]] Time now() const { return now_; }
  /// Since the beginning.
  [[nodiscard]] Duration elapsed() const { return now_ - kStart; }

 private:
  static constexpr Time kStart{1s};

  struct End {
    End(std::size_t window, std::uint32_t phase, Time now) : control(window, phase, now) {}
    RateControl control;
    Time from{}, until = kNever;
    // The sender.
    std::uint64_t next = 0, acknowledged = 0;
    std::set<std::uint64_t> again;
    double credit = 0;
    Time heard{};
    int expiries = 1;
    // The receiver.
    std::uint64_t edge = 0, told = 0, light = 0;
    std::set<std::uint64_t> missing;
    Time next_ack{};
    Time last_seen{};
    // Counted.
    std::uint64_t delivered = 0, offered = 0, dropped = 0;
  };
  struct Data {
    Time at;
    std::size_t end;
    std::uint64_t number;
  };
  struct Answer {
    enum Kind { kAck, kLight, kLost } kind;
    Time at;
    std::size_t end;
    std::uint64_t first, last;
  };

  [[nodiscard]] Duration queue() const { return std::max<Duration>(free_at_ - now_, Duration{0}); }

  void transmit(std::size_t i, std::uint64_t number) {
    End& end = *ends_[i];
    end.control.on_sent(number, now_);
    ++end.offered;
    if (queue() > settings_.queue) {
      ++end.dropped;
      return;
    }
    free_at_ = std::max(free_at_, now_) +
               std::chrono::duration_cast<Duration>(
                   std::chrono::duration<double>(kPacketBits / (settings_.rate_mbit * 1e6)));
    if (rng_.chance(settings_.loss)) return;
    data_.push_back({free_at_ + settings_.round_trip / 2, i, number});
  }

  void send(std::size_t i) {
    End& end = *ends_[i];
    const bool has_data = now_ >= end.from && now_ < end.until;
    end.credit += std::chrono::duration<double>(kStep) / end.control.interval();
    while (end.credit >= 1) {
      if (!end.again.empty()) {
        const std::uint64_t number = *end.again.begin();
        end.again.erase(end.again.begin());
        if (number >= end.acknowledged) transmit(i, number);
      } else if (has_data &&
                 static_cast<double>(end.next - end.acknowledged) <
                     std::min(end.control.window(), static_cast<double>(settings_.window))) {
        transmit(i, end.next++);
      } else {
        end.credit = 0;
        break;
      }
      --end.credit;
    }
    if (end.next > end.acknowledged && now_ - end.heard > end.expiries * 300ms) {
      if (end.again.empty())
        for (std::uint64_t n = end.acknowledged; n < end.next; ++n) end.again.insert(n);
      end.control.on_timeout(now_);
      ++end.expiries;
      end.heard = now_;
    }
  }

  void arrive() {
    while (!data_.empty() && data_.front().at <= now_) {
      receive(data_.front());
      data_.pop_front();
    }
    for (std::size_t i = 0; i < ends_.size(); ++i)
      if (now_ - ends_[i]->last_seen > 100ms) {
        ends_[i]->last_seen = now_;
        acknowledge(i);
      }
    while (!answers_.empty() && answers_.front().at <= now_) {
      hear(answers_.front());
      answers_.pop_front();
    }
  }

  void receive(const Data& data) {
    End& end = *ends_[data.end];
    end.last_seen = now_;
    if (data.number >= end.edge) {
      if (data.number > end.edge) {
        answer(Answer::kLost, data.end, end.edge, data.number - 1);
        for (std::uint64_t n = end.edge; n < data.number; ++n) end.missing.insert(n);
      }
      end.edge = data.number + 1;
      ++end.delivered;
    } else if (end.missing.erase(data.number) > 0) {
      ++end.delivered;
    }
    if (now_ >= end.next_ack) {
      acknowledge(data.end);
    } else if (++end.light >= 64) {
      end.light = 0;
      answer(Answer::kLight, data.end, end.missing.empty() ? end.edge : *end.missing.begin(), 0);
    }
  }

  void acknowledge(std::size_t i) {
    End& end = *ends_[i];
    const std::uint64_t next = end.missing.empty() ? end.edge : *end.missing.begin();
    end.next_ack = now_ + 10ms;
    if (next <= end.told) return;
    end.told = next;
    answer(Answer::kAck, i, next, 0);
  }

  void answer(Answer::Kind kind, std::size_t i, std::uint64_t first, std::uint64_t last) {
    answers_.push_back({kind, now_ + settings_.round_trip / 2, i, first, last});
  }

  void hear(const Answer& answer) {
    End& end = *ends_[answer.end];
    end.heard = now_;
    end.expiries = 1;
    if (answer.kind == Answer::kLost) {
      end.control.on_lost(answer.first, answer.last, now_);
      for (std::uint64_t n = answer.first; n <= answer.last; ++n) end.again.insert(n);
      return;
    }
    end.acknowledged = std::max(end.acknowledged, answer.first);
    if (answer.kind == Answer::kAck) end.control.on_acknowledged(answer.first, now_);
  }

  PathSettings settings_;
  Rng rng_{7};
  Time now_ = kStart;
  Time marked_ = kStart;
  Time free_at_ = kStart;
  std::vector<std::unique_ptr<End>> ends_;
  std::deque<Data> data_;
  std::deque<Answer> answers_;
  double queue_sum_ = 0;
  std::uint64_t steps_ = 0;
};

}  // namespace vtl::transport::test
