#include "vtl/transport/framing.h"

#include <cassert>

#include "vtl/transport/peer_auth.h"
#include "vtl/transport/transport.h"

namespace vtl::transport {
namespace {

struct Bounds {
  std::size_t min;
  std::size_t max;
};

std::optional<Bounds> bounds(std::uint8_t type) noexcept {
  switch (static_cast<RecordType>(type)) {
    case RecordType::kChallenge:
      return Bounds{kChallengeSize, kChallengeSize};
    case RecordType::kResponse:
      return Bounds{kResponseSize, kResponseSize};
    case RecordType::kWelcome:
      return Bounds{kMacSize, kMacSize};
    case RecordType::kOpen:
      return Bounds{kMacSize, kMacSize + kMaxPreface};
    case RecordType::kRefuse:
    case RecordType::kReset:
      return Bounds{1, 1};
    case RecordType::kData:
      return Bounds{1, kMaxData};
    case RecordType::kCredit:
      return Bounds{4, 4};
    case RecordType::kAccept:
    case RecordType::kFin:
    case RecordType::kEnd:
    case RecordType::kPing:
    case RecordType::kPong:
      return Bounds{0, 0};
  }
  return std::nullopt;
}
static_assert(kMacSize + kMaxPreface <= kMaxControl && kResponseSize <= kMaxControl);

}  // namespace

std::string_view to_string(FrameError error) noexcept {
  switch (error) {
    case FrameError::kUnknownType:
      return "unknown record type";
    case FrameError::kBadLength:
      return "impossible record length";
  }
  return "?";
}

void emit_header(MutableBytes out, RecordType type, std::size_t length) noexcept {
  assert(length < (std::size_t{1} << 24));
  store_be32(out, 0, static_cast<std::uint32_t>(type) << 24 | static_cast<std::uint32_t>(length));
}

void append_record(std::vector<std::uint8_t>& out, RecordType type, Bytes body) {
  const std::size_t at = out.size();
  out.resize(at + kHeaderSize + body.size());
  emit_header(MutableBytes(out).subspan(at), type, body.size());
  if (!body.empty()) std::memcpy(out.data() + at + kHeaderSize, body.data(), body.size());
}

MutableBytes RecordParser::gap() noexcept {
  const std::size_t end = have_ < kHeaderSize ? kHeaderSize : kHeaderSize + body_;
  return MutableBytes(buffer_).subspan(have_, end - have_);
}

Result<std::optional<Record>, FrameError> RecordParser::filled(std::size_t n) noexcept {
  const bool header_was_complete = have_ >= kHeaderSize;
  have_ += n;
  if (have_ < kHeaderSize) return std::nullopt;
  const auto type = static_cast<RecordType>(buffer_[0]);
  if (!header_was_complete) {
    const std::size_t length = load_be32(buffer_, 0) & 0xffffff;
    const auto allowed = bounds(buffer_[0]);
    if (!allowed) return std::unexpected(FrameError::kUnknownType);
    if (length < allowed->min || length > allowed->max)
      return std::unexpected(FrameError::kBadLength);
    if (type == RecordType::kData) {
      data_remaining_ = length;
      have_ = 0;
      return std::nullopt;
    }
    body_ = length;
  }
  if (have_ < kHeaderSize + body_) return std::nullopt;
  have_ = 0;
  return Record{type, Bytes(buffer_).subspan(kHeaderSize, body_)};
}

}  // namespace vtl::transport
