// What the engine's tests stand on: an interface whose every answer the test decides, services that
// record what they saw, and a way to turn a worker's loop by hand.
#pragma once

#include <unistd.h>

#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "vtl/engine/service.h"
#include "vtl/engine/worker.h"
#include "vtl/iface/interface.h"
#include "vtl/packet/packet.h"

namespace vtl::engine {

/// A frame of 60 octets from and to the given MAC addresses' last octets, with `tag` as payload.
inline std::vector<std::uint8_t> frame(std::uint8_t to, std::uint8_t from, std::uint8_t tag) {
  std::vector<std::uint8_t> f(60);
  f[0] = to == 0xff ? 0xff : 0x02;
  for (int i = 1; i < 6; ++i) f[static_cast<std::size_t>(i)] = to == 0xff ? 0xff : 0;
  f[5] = to;
  f[6] = 0x02;
  f[11] = from;
  f[12] = 0x88;
  f[13] = 0xb5;  // IEEE 802 local experimental EtherType
  f[14] = tag;
  return f;
}

/// The wire outside a FakeInterface; outlives it.
struct Wire {
  std::deque<std::vector<std::uint8_t>> in;  ///< what the interface will read
  std::vector<std::uint8_t> out;             ///< the tags of what was written
  std::size_t room = ~std::size_t{0};        ///< frames that write() still takes
  bool in_part = false;                      ///< a frame that finds no room is taken in part
  std::size_t rests = 0;                     ///< the rest of frames taken in part, sent later
  bool ended = false;                        ///< nothing comes after `in`
  int open = 0;                              ///< interfaces on this wire now
  int opened = 0;
  std::size_t reads = 0;
  int events_fd = -1;  ///< of the interface; attend() reads it
  std::size_t attended = 0;
  bool gathers = false;                             ///< super-frames may come in pieces
  std::vector<std::vector<std::uint8_t>> gathered;  ///< those, put together

  void send(std::uint8_t to, std::uint8_t from, std::uint8_t tag) {
    in.push_back(frame(to, from, tag));
  }
};

class FakeInterface final : public iface::Interface {
 public:
  FakeInterface(std::string name, Wire& wire) : name_(std::move(name)), wire_(wire) {
    ++wire_.open;
    ++wire_.opened;
  }
  ~FakeInterface() override { --wire_.open; }

  const std::string& name() const noexcept override { return name_; }
  int fd() const noexcept override { return -1; }
  iface::Capabilities capabilities() const noexcept override { return {}; }
  wire::MacAddress mac() const noexcept override { return {}; }

  int events_fd() const noexcept override { return wire_.events_fd; }
  void attend() override {
    std::uint64_t event = 0;
    if (::read(wire_.events_fd, &event, sizeof event) == sizeof event) ++wire_.attended;
  }

  iface::ReadStatus read(PacketPool& pool, Time now, Batch& batch) override {
    ++wire_.reads;
    while (!wire_.in.empty() && batch.size() < kMaxBatch) {
      Packet packet = pool.copy_of(wire_.in.front());
      packet.meta().arrival = now;
      batch.push_back(std::move(packet));
      wire_.in.pop_front();
    }
    if (wire_.in.empty() && wire_.ended) return iface::ReadStatus::kClosed;
    return wire_.in.empty() ? iface::ReadStatus::kOk : iface::ReadStatus::kMore;
  }

  std::size_t write(std::span<Packet> batch) override {
    std::size_t n = 0;
    for (; n < batch.size() && wire_.room > 0; ++n, --wire_.room) {
      if (!batch[n]) {
        ++wire_.rests;
        continue;
      }
      wire_.out.push_back(batch[n].bytes()[14]);
      batch[n].reset();
      counters_.tx_frames.add();
    }
    if (n < batch.size() && wire_.in_part) batch[n].reset();
    return n;
  }

  bool gathers() const noexcept override { return wire_.gathers; }
  bool write_gathered(const Packet& head, std::span<const Bytes> payload) override {
    if (!wire_.gathers || wire_.room == 0) return false;
    --wire_.room;
    auto& whole = wire_.gathered.emplace_back(head.bytes().begin(), head.bytes().end());
    for (const Bytes piece : payload) whole.insert(whole.end(), piece.begin(), piece.end());
    wire_.out.push_back(whole[14]);
    return true;
  }

  const iface::InterfaceCounters& counters() const noexcept override { return counters_; }

 private:
  std::string name_;
  Wire& wire_;
  iface::InterfaceCounters counters_;
};

/// A worker on the test's own thread. It never sleeps for long, unless `may_sleep`.
class HandWorker {
 public:
  explicit HandWorker(bool may_sleep = false)
      : worker_(std::move(*Worker::create(0, {.poll_interval = 50us}))) {
    if (!may_sleep) worker_->add_poll(awake_);
  }
  Worker& operator*() { return *worker_; }
  Worker* operator->() { return worker_.get(); }

  /// Turns the loop until `condition` holds, at most `limit` turns; whether it held.
  bool until(const std::function<bool()>& condition, int limit = 20000) {
    for (int i = 0; i < limit && !condition(); ++i) turn();
    return condition();
  }
  /// One turn.
  void turn() { worker_->turn(); }
  void turns(int n) {
    for (int i = 0; i < n; ++i) turn();
  }

 private:
  struct Awake final : PollTask {
    bool poll() override { return false; }
  };
  Awake awake_;
  std::unique_ptr<Worker> worker_;
};

/// A service of which every part may be set by the test.
class TestService final : public Service {
 public:
  std::string_view kind() const noexcept override { return "test"; }
  void start(ServiceContext& context) override {
    context_ = &context;
    if (on_start) on_start(context);
  }
  void process(Direction direction, Batch& batch) override {
    if (on_process) on_process(*context_, direction, batch);
  }
  void stop(std::function<void()> done) override {
    if (on_stop) {
      on_stop(std::move(done));
    } else {
      done();
    }
  }
  void list_metrics(std::vector<ServiceMetric>& out) const override {
    out.push_back({"test_total", "A number.", 1, true});
  }
  ~TestService() override {
    if (on_destroy) on_destroy(*context_);
  }

  ServiceContext* context_ = nullptr;
  std::function<void(ServiceContext&)> on_start;
  std::function<void(ServiceContext&, Direction, Batch&)> on_process;
  std::function<void(std::function<void()>)> on_stop;
  std::function<void(ServiceContext&)> on_destroy;
};

}  // namespace vtl::engine
