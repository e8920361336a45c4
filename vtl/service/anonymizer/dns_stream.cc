#include "vtl/service/anonymizer/dns_stream.h"

#include <algorithm>
#include <array>
#include <utility>

namespace vtl::service {
namespace {

using transport::StreamError;

constexpr std::size_t kLength = 2;  // octets in front of each message
constexpr std::size_t kLongest = kLength + DnsResponder::kMaxAnswer;

}  // namespace

DnsStream::DnsStream(Reactor& reactor, DnsResponder& responder, transport::StreamHandler& handler,
                     GuestId guest, LookUp look_up, const DnsStreamOptions& options)
    : reactor_(reactor),
      responder_(responder),
      handler_(&handler),
      guest_(guest),
      look_up_(std::move(look_up)),
      options_{std::max(options.max_unread, kLongest),
               std::max<std::size_t>(options.max_look_ups, 1)} {
  post(&DnsStream::call_open);
}

void DnsStream::post(void (DnsStream::*what)()) {
  reactor_.post([this, what, alive = std::weak_ptr(alive_)] {
    if (!alive.expired() && handler_ != nullptr) (this->*what)();
  });
}

void DnsStream::call_open() {
  handler_->on_open();
}
void DnsStream::call_readable() {
  handler_->on_readable();
}
void DnsStream::call_writable() {
  handler_->on_writable();
}
void DnsStream::call_reset() {
  std::exchange(handler_, nullptr)->on_reset(StreamError::kProtocol);
}

bool DnsStream::has_room() const noexcept {
  return look_ups_.size() < options_.max_look_ups &&
         unread_.size() + (look_ups_.size() + 1) * kLongest <= options_.max_unread;
}

void DnsStream::append(Bytes answer) {
  if (answer.empty()) return;
  std::array<std::uint8_t, kLength> length;
  store_be16(length, 0, static_cast<std::uint16_t>(answer.size()));
  // A queue without a pool takes all.
  (void)unread_.append(length);
  (void)unread_.append(answer);
}

void DnsStream::ask(Bytes query) {
  std::array<std::uint8_t, DnsResponder::kMaxAnswer> buffer;
  DnsOutcome outcome = responder_.answer(query, buffer, guest_, reactor_.now());
  append(outcome.answer);
  if (!outcome.look_up) return;
  if (!look_up_) {
    append(responder_.finish(outcome.look_up->asked, std::unexpected(StreamError::kLimit), buffer));
    return;
  }
  const std::uint64_t number = next_look_up_++;
  look_ups_[number].asked = outcome.look_up->asked;
  auto under_way = look_up_(outcome.look_up->host,
                            [this, number, alive = std::weak_ptr(alive_)](const auto& host) {
                              if (!alive.expired()) found(number, host);
                            });
  if (under_way != nullptr) {
    look_ups_[number].look_up = std::move(under_way);
    return;
  }
  look_ups_.erase(number);
  append(responder_.finish(outcome.look_up->asked, std::unexpected(StreamError::kLimit), buffer));
}

void DnsStream::found(std::uint64_t number, const Result<transport::Host, StreamError>& host) {
  const auto pending = look_ups_.find(number);
  if (pending == look_ups_.end()) return;
  std::array<std::uint8_t, DnsResponder::kMaxAnswer> buffer;
  append(responder_.finish(pending->second.asked, host, buffer));
  // What calls us may not like to be destroyed meanwhile.
  reactor_.post([done = std::shared_ptr(std::move(pending->second.look_up))] {});
  look_ups_.erase(pending);
  tell_reader();
  tell_writer();
}

// Takes the next octets of one message, and answers it when it is whole.
std::size_t DnsStream::take(Bytes bytes) {
  const std::size_t before = partial_.size();
  const auto octet = [&](std::size_t i) { return i < before ? partial_[i] : bytes[i - before]; };
  if (before + bytes.size() < kLength) {
    partial_.insert(partial_.end(), bytes.begin(), bytes.end());
    return bytes.size();
  }
  const std::size_t length = static_cast<std::size_t>(octet(0)) << 8 | octet(1);
  if (length > kMaxQuery) {
    broken_ = true;
    partial_ = {};
    look_ups_.clear();
    tell_reset();
    return 0;
  }
  const Bytes mine = bytes.first(std::min(bytes.size(), kLength + length - before));
  if (before == 0 && mine.size() == kLength + length) {
    ask(mine.subspan(kLength));
    return mine.size();
  }
  partial_.insert(partial_.end(), mine.begin(), mine.end());
  if (partial_.size() == kLength + length) {
    const std::vector<std::uint8_t> whole = std::exchange(partial_, {});
    ask(Bytes(whole).subspan(kLength));
  }
  return mine.size();
}

std::size_t DnsStream::write(Bytes bytes) {
  std::size_t taken = 0;
  while (taken < bytes.size() && !shut_ && !broken_ && (!partial_.empty() || has_room())) {
    taken += take(bytes.subspan(taken));
  }
  if (taken < bytes.size()) blocked_ = true;
  tell_reader();
  return taken;
}

std::size_t DnsStream::read(MutableBytes out) {
  std::size_t done = 0;
  while (done < out.size() && !unread_.empty()) {
    const Bytes front = unread_.front();
    const std::size_t n = std::min(front.size(), out.size() - done);
    std::copy_n(front.begin(), n, out.begin() + static_cast<std::ptrdiff_t>(done));
    unread_.consume(n);
    done += n;
  }
  if (done == 0 && !at_end()) starved_ = true;
  if (done > 0) tell_writer();
  if (done > 0) tell_reset();
  return done;
}

bool DnsStream::at_end() const noexcept {
  return shut_ && unread_.empty() && look_ups_.empty();
}

void DnsStream::tell_reader() {
  if (!starved_ || (unread_.empty() && !at_end())) return;
  starved_ = false;
  post(&DnsStream::call_readable);
}

void DnsStream::tell_writer() {
  if (!blocked_ || shut_ || broken_ || !has_room()) return;
  blocked_ = false;
  post(&DnsStream::call_writable);
}

// The reader has first what was answered before.
void DnsStream::tell_reset() {
  if (broken_ && unread_.empty()) post(&DnsStream::call_reset);
}

void DnsStream::shutdown() {
  if (shut_) return;
  shut_ = true;
  partial_ = {};
  tell_reader();
}

void DnsStream::abort(StreamError) {
  handler_ = nullptr;
  shut_ = broken_ = true;
  partial_ = {};
  unread_.clear();
  look_ups_.clear();
}

}  // namespace vtl::service
