// How a connection reads and writes; what the records mean is in connection.cc.
#include <algorithm>
#include <array>
#include <span>
#include <utility>

#include "vtl/transport/connection.h"

namespace vtl::transport {

// --- reading ---

bool Connection::read_some(std::span<const MutableBytes> pieces, std::size_t& n) {
  const auto got = channel_->read(pieces);
  n = got.value_or(0);
  if (!got) lose(StreamError::kPeerDown);
  return n > 0;
}

bool Connection::took_control(std::size_t n) {
  const auto record = parser_.filled(n);
  if (!record) return protocol_error();
  if (*record) return handle(**record);
  const std::size_t data = parser_.data_remaining();
  if (data > 0 && (state_ != StreamState::kOpen || fin_received_ ||
                   data > granted_ - consumed_ - inbox_.size()))
    return protocol_error();
  return true;
}

/// Takes data that nobody reads out of the channel. False: there was none.
bool Connection::absorb() {
  static thread_local std::array<std::uint8_t, std::size_t{64} << 10> block;
  const std::size_t most = std::min(block.size(), parser_.data_remaining());
  const std::array<MutableBytes, 1> piece{MutableBytes(block.data(), most)};
  std::size_t n = 0;
  if (!read_some(piece, n)) return false;
  parser_.data_taken(n);
  inbox_.append(Bytes(block.data(), n));
  return true;
}

/// A piece of a record's data, or of its other octets. False: stop.
bool Connection::read_record() {
  if (parser_.data_remaining() > 0) return absorb();
  const std::array<MutableBytes, 1> piece{parser_.gap()};
  std::size_t n = 0;
  return read_some(piece, n) && took_control(n);
}

void Connection::pump() {
  if (link_ == Link::kResetting) {
    std::array<std::uint8_t, 16384> waste;
    const std::array<MutableBytes, 1> piece{MutableBytes(waste)};
    std::size_t n = 0;
    while (!dead() && read_some(piece, n)) {
    }
    return;
  }
  for (int i = 0; i < kRecordsPerTurn && !dead() && !lost_ && link_ != Link::kResetting; ++i) {
    if (parser_.data_remaining() > 0) {
      if (read_armed_ && handler_ != nullptr) break;
      if (std::exchange(read_lately_, false)) return;  // it goes on reading: spare the copy
    }
    if (!read_record()) break;
  }
  if (!dead() && !lost_ && parser_.data_remaining() > 0 && read_armed_ && handler_ != nullptr) {
    read_armed_ = false;
    handler_->on_readable();
  }
}

std::size_t Connection::read(MutableBytes out) {
  if (link_ != Link::kReady || state_ != StreamState::kOpen || at_end()) return 0;
  read_armed_ = false;
  read_lately_ = true;
  std::size_t filled = std::min(out.size(), inbox_.size());
  inbox_.copy(0, out.first(filled));
  inbox_.consume(filled);
  consumed_ += filled;
  int records = 0;
  while (filled < out.size() && !dead() && !lost_ && !fin_received_ && records < kRecordsPerTurn) {
    const std::size_t data = std::min(parser_.data_remaining(), out.size() - filled);
    const bool whole = data == parser_.data_remaining();
    const std::array<MutableBytes, 2> pieces{out.subspan(filled, data), parser_.gap()};
    std::size_t n = 0;
    const auto used = std::span(pieces).subspan(data > 0 ? 0 : 1, data > 0 && whole ? 2 : 1);
    if (!read_some(used, n)) {
      emptied_ = true;
      break;
    }
    const std::size_t taken = std::min(n, data);
    parser_.data_taken(taken);
    filled += taken;
    consumed_ += taken;
    if (n > taken && !took_control(n - taken)) break;
    records += n > taken ? 1 : 0;
  }
  owner_.counters_mutable().bytes_in.add(filled);
  if (dead()) return filled;
  if (lost_ || at_end()) {
    send_end();
    read_armed_ = filled == 0 && !at_end();  // more of a lost stream may come
    later();
  } else if (!fin_received_) {
    read_armed_ = filled == 0;
    grant();
    if (read_armed_) update_interest();
  }
  return filled;
}

/// Lets the peer send on as the reader consumes, a quarter of the window at a time.
void Connection::grant() {
  if (granted_ - consumed_ > window_ - window_ / 4) return;
  if (reads_no_answers()) {
    protocol_error();
    return;
  }
  // A reader that keeps up may keep its share when windows shrink, one that is slow nothing.
  const std::size_t least = emptied_ ? std::max(kFirstWindow, owner_.share()) : kFirstWindow;
  if (window_ > least && owner_.tight()) {
    // What was granted stands: the window shrinks to what is still under way at most.
    const std::size_t under_way = granted_ - consumed_;
    const std::size_t smaller = std::max({least, window_ / 2, under_way});
    owner_.narrow(window_ - smaller);
    window_ = smaller;
  } else if (emptied_) {
    const std::size_t more = std::min(window_, owner_.max_window() - window_);
    if (more > 0 && owner_.widen(more)) window_ += more;
  }
  emptied_ = false;
  const std::uint64_t more = consumed_ + window_ - granted_;
  if (more == 0) return;
  std::array<std::uint8_t, 4> body;
  store_be32(body, 0, static_cast<std::uint32_t>(more));
  granted_ += more;
  queue(RecordType::kCredit, body);
}

// --- writing ---

void Connection::queue(RecordType type, Bytes body) {
  if (lost_) return;
  open_record_ = kNoRecord;
  append_record(pending_, type, body);
  later();
}

void Connection::append_data(Bytes bytes) {
  if (open_record_ == kNoRecord ||
      pending_.size() - open_record_ - kHeaderSize + bytes.size() > kMaxData) {
    open_record_ = pending_.size();
    pending_.resize(pending_.size() + kHeaderSize);
  }
  pending_.insert(pending_.end(), bytes.begin(), bytes.end());
  emit_header(MutableBytes(pending_).subspan(open_record_), RecordType::kData,
              pending_.size() - open_record_ - kHeaderSize);
}

std::size_t Connection::write(Bytes bytes) {
  if (link_ != Link::kReady || state_ != StreamState::kOpen || fin_sent_ || lost_ || bytes.empty())
    return 0;
  std::size_t taken = 0;
  const Bytes allowed = bytes.first(std::min<std::uint64_t>(bytes.size(), allowed_ - written_));
  while (taken < allowed.size() && !dead() && !lost_) {
    const Bytes rest = allowed.subspan(taken);
    const bool direct =
        pending_.empty() && !blocked_ && channel_->gathers() && rest.size() >= kDirectWrite;
    const std::size_t n = direct ? write_through(rest) : write_staged(rest);
    if (n == 0) break;
    taken += n;
  }
  written_ += taken;
  owner_.counters_mutable().bytes_out.add(taken);
  if (taken < bytes.size() && !dead() && !lost_) {
    write_armed_ = true;
    if (!blocked_) later();
  }
  return taken;
}

/// One record, from the caller's bytes to the channel without a copy; what the channel does not
/// take of it is staged, as the header has promised it.
std::size_t Connection::write_through(Bytes bytes) {
  const Bytes body = bytes.first(std::min(bytes.size(), kStage));
  std::array<std::uint8_t, kHeaderSize> header;
  emit_header(header, RecordType::kData, body.size());
  const std::array<Bytes, 2> pieces{Bytes(header), body};
  const auto sent = channel_->write(pieces);
  if (!sent) {
    on_channel_broken();
    return 0;
  }
  blocked_ = *sent < kHeaderSize + body.size();
  if (blocked_) update_interest();
  if (*sent == 0) return 0;
  if (blocked_) {
    const Bytes rest_header = Bytes(header).subspan(std::min(*sent, kHeaderSize));
    const Bytes rest = body.subspan(*sent - (kHeaderSize - rest_header.size()));
    pending_.assign(rest_header.begin(), rest_header.end());
    pending_.insert(pending_.end(), rest.begin(), rest.end());
  }
  return body.size();
}

std::size_t Connection::write_staged(Bytes bytes) {
  const std::size_t queued = pending_.size() - head_;
  const std::size_t taken = std::min(bytes.size(), queued < kStage ? kStage - queued : 0);
  if (taken == 0) return 0;
  append_data(bytes.first(taken));
  if (!blocked_ && pending_.size() - head_ >= kFlushAt)
    flush();
  else if (!blocked_)
    later();
  return taken;
}

void Connection::tell_writable() {
  if (!write_armed_ || blocked_ || handler_ == nullptr || dead() || written_ == allowed_) return;
  write_armed_ = false;
  handler_->on_writable();
}

void Connection::flush() {
  if (dead() || lost_ || pending_.empty() || link_ == Link::kConnecting) return;
  open_record_ = kNoRecord;
  while (head_ < pending_.size()) {
    const std::array<Bytes, 1> piece{Bytes(pending_).subspan(head_)};
    const auto sent = channel_->write(piece);
    if (!sent) {
      on_channel_broken();
      return;
    }
    head_ += *sent;
    blocked_ = head_ < pending_.size();
    if (*sent == 0) break;
  }
  if (head_ == pending_.size()) {
    pending_.clear();
    head_ = 0;
    if (link_ == Link::kResetting) after_reset_flushed();
  } else if (head_ >= kStage / 2) {
    pending_.erase(pending_.begin(), pending_.begin() + static_cast<std::ptrdiff_t>(head_));
    head_ = 0;
  }
  if (!dead()) update_interest();
}

void Connection::after_reset_flushed() {
  // A kernel socket closed with unread data answers with a reset that may overtake our last
  // record: end writing, and read away what comes until the peer closes. UDT delivers by itself.
  if (channel_->gathers())
    channel_->end_writing();
  else
    die(std::nullopt);
}

void Connection::update_interest() {
  if (dead() || lost_ || !channel_) return;
  auto bits = static_cast<std::uint8_t>(Readiness::kReadable);
  if (blocked_) bits |= static_cast<std::uint8_t>(Readiness::kWritable);
  channel_->want(static_cast<Readiness>(bits));
}

}  // namespace vtl::transport
