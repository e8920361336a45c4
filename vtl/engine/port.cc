#include "vtl/engine/port.h"

#include <algorithm>
#include <bit>
#include <cassert>
#include <utility>

namespace vtl::engine {
namespace {

constexpr Duration kLook = 500ms;

}  // namespace

Port::Port(Worker& worker, std::string name, std::unique_ptr<iface::Interface> interface,
           const PortLimits& limits)
    : worker_(worker),
      name_(std::move(name)),
      limits_(limits),
      interface_(std::move(interface)),
      retry_([this] { flush(); }),
      look_([this] { look(); }) {
  batch_.reserve(kMaxBatch);
}

Port::~Port() {
  stop_reading();
}

void Port::start(FrameSink& receiver, std::function<void()> on_closed) {
  assert(receiver_ == nullptr);
  receiver_ = &receiver;
  on_closed_ = std::move(on_closed);
  if (polled()) {
    worker_.add_poll(*this);
  } else {
    watch_ = worker_.watch(interface_->fd(), Readiness::kReadable,
                           [this](Readiness readiness) { on_ready(readiness); });
    update_interest();
    worker_.timers().arm(look_, worker_.now() + kLook);
  }
  if (const int events = interface_->events_fd(); events >= 0) {
    events_ =
        worker_.watch(events, Readiness::kReadable, [this](Readiness) { interface_->attend(); });
  }
}

void Port::stop_reading() {
  if (receiver_ == nullptr) return;
  receiver_ = nullptr;
  if (polled()) {
    worker_.remove_poll(*this);
  }
  look_.cancel();
  watch_.reset();
  events_.reset();
}

void Port::look() {
  if (!interface_->is_up()) static_cast<void>(read());
  if (!closed_ && receiver_ != nullptr) worker_.timers().arm(look_, worker_.now() + kLook);
}

void Port::on_ready(Readiness readiness) {
  const auto bits = static_cast<unsigned>(readiness);
  if ((bits & static_cast<unsigned>(Readiness::kWritable)) != 0 && count_ > 0) flush();
  if ((bits & static_cast<unsigned>(Readiness::kReadable)) != 0) static_cast<void>(read());
}

bool Port::poll() {
  return read();
}

// True when there is probably more to read at once.
bool Port::read() {
  for (std::uint32_t round = 0; round < limits_.batches_per_turn; ++round) {
    if (pauses_ > 0 || closed_ || receiver_ == nullptr) return false;
    const auto status = interface_->read(worker_.pool(), worker_.now(), batch_);
    const bool got = !batch_.empty();
    if (got) receiver_->push(batch_);
    assert(batch_.empty());
    if (status == iface::ReadStatus::kClosed) {
      close();
      return false;
    }
    // An interface without a descriptor cannot tell when more has come: what gave frames is asked
    // again soon.
    if (status == iface::ReadStatus::kOk) return polled() && got;
  }
  return true;
}

void Port::close() {
  closed_ = true;
  update_interest();
  if (polled()) worker_.remove_poll(*this);
  if (on_closed_) on_closed_();
}

void Port::update_interest() {
  if (watch_ == nullptr) return;
  const bool reading = pauses_ == 0 && !closed_;
  const bool writing = count_ > 0 && interface_->signals_writable();
  watch_->set(static_cast<Readiness>((reading ? 1 : 0) | (writing ? 2 : 0)));
}

void Port::pause() {
  if (pauses_++ > 0) return;
  counters_.paused.add();
  update_interest();
}

void Port::resume() {
  assert(pauses_ > 0);
  if (--pauses_ == 0) update_interest();
}

std::size_t Port::write(std::span<Packet> frames) {
  std::size_t done = 0;
  while (done < frames.size()) {
    const auto part = frames.subspan(done, std::min(frames.size() - done, kMaxBatch));
    const std::size_t n = interface_->write(part);
    done += n;
    if (n < part.size()) break;
  }
  return done;
}

void Port::push(Batch& batch) {
  std::size_t done = 0;
  if (count_ == 0) done = write(batch);
  if (done < batch.size()) {
    for (; done < batch.size(); ++done) enqueue(std::move(batch[done]));
    after_backlog_change();
  }
  batch.clear();
}

void Port::enqueue(Packet packet) {
  if (frames_.empty()) {
    const std::size_t size = std::bit_ceil(std::max<std::size_t>(limits_.frames, 1));
    frames_.resize(size);
    since_.resize(size);
  }
  if (count_ == frames_.size() || bytes_ + packet.size() > limits_.bytes) {
    counters_.drops.add(DropReason::kTxQueueFull);
    return;
  }
  const std::size_t at = (head_ + count_) & (frames_.size() - 1);
  bytes_ += packet.size();
  frames_[at] = std::move(packet);
  since_[at] = worker_.now();
  ++count_;
}

Packet Port::pop_front() {
  Packet packet = std::move(frames_[head_]);
  head_ = (head_ + 1) & (frames_.size() - 1);
  --count_;
  return packet;
}

void Port::drop_expired() {
  const bool keep = in_part();
  if (keep) static_cast<void>(pop_front());
  while (count_ > 0 && worker_.now() - since_[head_] > limits_.max_wait) {
    bytes_ -= pop_front().size();
    counters_.drops.add(DropReason::kTxQueueFull);
  }
  if (keep) {  // the place before the head is an empty packet, be it another than it was
    head_ = (head_ - 1) & (frames_.size() - 1);
    ++count_;
  }
}

void Port::flush() {
  drop_expired();
  while (count_ > 0) {
    const std::size_t run = std::min({count_, frames_.size() - head_, kMaxBatch});
    std::size_t before = 0;
    for (std::size_t i = 0; i < run; ++i) before += frames_[head_ + i].size();
    const std::size_t n = write(std::span(frames_).subspan(head_, run));
    for (std::size_t i = n; i < run; ++i) before -= frames_[head_ + i].size();
    bytes_ -= before;
    head_ = (head_ + n) & (frames_.size() - 1);
    count_ -= n;
    if (n < run) break;
  }
  after_backlog_change();
}

// Where writability is signalled the timer only serves the bound of the waiting time. A deadline
// that stands is not put off by frames that arrive meanwhile.
void Port::arm_retry() {
  const bool signalled = interface_->signals_writable();
  const std::size_t frame = in_part() ? 1 : 0;
  if (count_ == 0 || (signalled && count_ == frame)) {
    retry_.cancel();
    return;
  }
  const Time soon = worker_.now() + limits_.retry;
  Time when = soon;
  if (signalled) {
    const Time since = since_[(head_ + frame) & (frames_.size() - 1)];
    when = std::max(soon, since + limits_.max_wait + Duration{1});
  }
  if (!retry_.armed() || retry_.deadline() > when) worker_.timers().arm(retry_, when);
}

void Port::after_backlog_change() {
  counters_.backlog.set(count_);
  arm_retry();
  update_interest();  // whether writability is signalled may have changed
  const bool full = count_ > (in_part() ? 1 : 0);
  if (full == feeders_paused_) return;
  feeders_paused_ = full;
  if (full) counters_.blocked.add();
  for (auto* feeder : feeders_) full ? feeder->pause() : feeder->resume();
}

}  // namespace vtl::engine
