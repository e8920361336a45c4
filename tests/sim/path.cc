#include "tests/sim/path.h"

#include <algorithm>
#include <vector>

#include "vtl/wire/checksum.h"

namespace vtl::endpoint::sim {
namespace {

const wire::IpAddress kSource = *wire::IpAddress::parse("192.0.2.1");
const wire::IpAddress kDestination = *wire::IpAddress::parse("192.0.2.2");

}  // namespace

std::string to_octets(const WireSegment& segment) {
  const std::size_t header = segment.header.size();
  std::vector<std::uint8_t> out(header + segment.data.size());
  segment.header.emit(out);
  std::ranges::copy(segment.data, out.begin() + static_cast<std::ptrdiff_t>(header));
  store_be16(out, wire::TcpView::kChecksumOffset,
             wire::transport_checksum(kSource, kDestination, wire::IpProtocol::kTcp, out));
  return {out.begin(), out.end()};
}

std::optional<WireSegment> from_octets(const std::string& octets) {
  const Bytes bytes(reinterpret_cast<const std::uint8_t*>(octets.data()), octets.size());
  const auto view = wire::TcpView::parse(bytes);
  if (!view || !view->verify_checksum(kSource, kDestination)) return std::nullopt;
  const Bytes payload = view->payload();
  return WireSegment{view->fields(), std::string(payload.begin(), payload.end())};
}

void Link::push(const OutSegment& out, Time now) {
  cut(out, [&](WireSegment one) { send_one(std::move(one), now); });
}

void Link::send_one(WireSegment segment, Time now) {
  if (rng_.chance(config_.loss)) {
    ++dropped_;
    return;
  }
  if (segment.header.size() - wire::TcpView::kMinSize + segment.data.size() > config_.largest) {
    too_large_ = segment.header.seq;
    ++dropped_;
    return;
  }
  if (rng_.chance(config_.corrupt) && !spoil(segment)) return;
  segment.ce = segment.ect && rng_.chance(config_.mark);
  Time leaves = now;
  if (config_.rate > 0) {
    const std::uint64_t bits = (segment.data.size() + kFrameOverhead) * 8;
    const Duration each{static_cast<std::int64_t>(bits * 1'000'000'000 / config_.rate)};
    const Time begins = std::max(now, free_at_);
    const Duration full_frame{
        static_cast<std::int64_t>((1460 + kFrameOverhead) * 8 * 1'000'000'000 / config_.rate)};
    if (begins - now > full_frame * static_cast<std::int64_t>(config_.queue)) {
      ++dropped_;
      return;
    }
    free_at_ = begins + each;
    leaves = free_at_;
  }
  Time at = leaves + config_.delay;
  if (config_.jitter > Duration::zero()) {
    at += Duration{
        static_cast<std::int64_t>(rng_.below(static_cast<std::uint64_t>(config_.jitter.count())))};
  }
  if (rng_.chance(config_.reorder)) {
    at += config_.reorder_by > Duration::zero() ? config_.reorder_by : 2 * config_.delay;
  }
  if (rng_.chance(config_.duplicate)) arrive(segment, at + config_.delay / 3);
  arrive(std::move(segment), at);
}

// The checksum sees every error of up to 16 bits that stand together, save 0 for 0xffff, and that
// one is not made here.
bool Link::spoil(WireSegment& segment) {
  std::string octets = to_octets(segment);
  const std::size_t at = rng_.below(octets.size() - 1);
  const auto flip = [&](std::size_t i) {
    octets[i] = static_cast<char>(octets[i] ^ static_cast<char>(1 + rng_.below(254)));
  };
  flip(at);
  if (rng_.chance(0.5)) flip(at + 1);
  ++corrupted_;
  auto arrived = from_octets(octets);
  if (!arrived) return false;
  arrived->ect = segment.ect;
  segment = std::move(*arrived);
  return true;
}

void Link::arrive(WireSegment segment, Time at) {
  if (config_.merge && !segment.data.empty()) {
    // The last of those that arrive at the same time, when this one follows it.
    auto [first, last] = under_way_.equal_range(at);
    if (first != last) {
      WireSegment& before = std::prev(last)->second;
      const auto length = static_cast<std::uint32_t>(before.data.size());
      if (length > 0 && before.header.seq + length == segment.header.seq &&
          before.header.ack == segment.header.ack && !before.header.flags.fin() &&
          before.ce == segment.ce && before.data.size() + segment.data.size() <= 65000) {
        before.data += segment.data;
        before.header.flags = before.header.flags | segment.header.flags;
        before.header.window = segment.header.window;
        ++before.segments;
        return;
      }
    }
  }
  under_way_.emplace(at, std::move(segment));
}

Time Link::next() const noexcept {
  return under_way_.empty() ? kNever : under_way_.begin()->first;
}

std::optional<WireSegment> Link::pop(Time now) {
  if (next() > now) return std::nullopt;
  WireSegment out = std::move(under_way_.begin()->second);
  under_way_.erase(under_way_.begin());
  return out;
}

}  // namespace vtl::endpoint::sim
