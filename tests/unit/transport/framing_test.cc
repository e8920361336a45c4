#include "vtl/transport/framing.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "vtl/transport/peer_auth.h"
#include "vtl/transport/transport.h"

namespace vtl::transport {
namespace {

struct Seen {
  std::vector<std::pair<RecordType, std::vector<std::uint8_t>>> records;
  std::vector<std::uint8_t> data;
  std::optional<FrameError> error;
};

/// Feeds `bytes` in pieces of at most `piece` octets.
Seen parse(Bytes bytes, std::size_t piece) {
  RecordParser parser;
  Seen seen;
  while (!bytes.empty() && !seen.error) {
    const std::size_t data = std::min({parser.data_remaining(), piece, bytes.size()});
    if (data > 0) {
      seen.data.insert(seen.data.end(), bytes.begin(),
                       bytes.begin() + static_cast<std::ptrdiff_t>(data));
      parser.data_taken(data);
      bytes = bytes.subspan(data);
      continue;
    }
    const MutableBytes gap = parser.gap();
    const std::size_t n = std::min({gap.size(), piece, bytes.size()});
    std::copy_n(bytes.begin(), n, gap.begin());
    bytes = bytes.subspan(n);
    const auto record = parser.filled(n);
    if (!record)
      seen.error = record.error();
    else if (*record)
      seen.records.push_back({(*record)->type, {(*record)->body.begin(), (*record)->body.end()}});
  }
  return seen;
}

std::vector<std::uint8_t> header(RecordType type, std::size_t length) {
  std::vector<std::uint8_t> out(kHeaderSize);
  emit_header(out, type, length);
  return out;
}

struct Sizes {
  RecordType type;
  std::size_t min, max;
};
const Sizes kSizes[] = {{RecordType::kChallenge, kChallengeSize, kChallengeSize},
                        {RecordType::kResponse, kResponseSize, kResponseSize},
                        {RecordType::kWelcome, kMacSize, kMacSize},
                        {RecordType::kOpen, kMacSize, kMacSize + kMaxPreface},
                        {RecordType::kAccept, 0, 0},
                        {RecordType::kRefuse, 1, 1},
                        {RecordType::kFin, 0, 0},
                        {RecordType::kEnd, 0, 0},
                        {RecordType::kReset, 1, 1},
                        {RecordType::kPing, 0, 0},
                        {RecordType::kPong, 0, 0},
                        {RecordType::kCredit, 4, 4}};

TEST(Framing, EveryControlRecordIsReadInPiecesOfEverySize) {
  std::vector<std::uint8_t> wire;
  for (const Sizes& s : kSizes) append_record(wire, s.type, std::vector<std::uint8_t>(s.max, 0x5a));
  for (std::size_t piece = 1; piece < 700; ++piece) {
    const Seen seen = parse(wire, piece);
    ASSERT_FALSE(seen.error);
    ASSERT_EQ(seen.records.size(), std::size(kSizes));
    for (std::size_t i = 0; i < std::size(kSizes); ++i) {
      EXPECT_EQ(seen.records[i].first, kSizes[i].type);
      EXPECT_EQ(seen.records[i].second.size(), kSizes[i].max);
    }
  }
}

TEST(Framing, ATruncatedRecordIsNeverReported) {
  for (const Sizes& s : kSizes) {
    std::vector<std::uint8_t> wire;
    append_record(wire, s.type, std::vector<std::uint8_t>(s.max, 1));
    for (std::size_t n = 0; n < wire.size(); ++n) {
      const Seen seen = parse(Bytes(wire).first(n), 1000);
      EXPECT_TRUE(seen.records.empty());
      EXPECT_FALSE(seen.error);
    }
  }
}

TEST(Framing, ALengthThatTheTypeCannotHaveIsAnError) {
  for (const Sizes& s : kSizes) {
    EXPECT_EQ(parse(header(s.type, s.max + 1), 4).error, FrameError::kBadLength);
    if (s.min > 0) {
      EXPECT_EQ(parse(header(s.type, s.min - 1), 4).error, FrameError::kBadLength);
    }
  }
  EXPECT_EQ(parse(header(RecordType::kData, 0), 4).error, FrameError::kBadLength);
  EXPECT_EQ(parse(header(RecordType::kData, kMaxData + 1), 4).error, FrameError::kBadLength);
}

TEST(Framing, AnUnknownTypeIsAnErrorBeforeItsBody) {
  for (int type = 0; type < 256; ++type) {
    if (type >= 1 && type <= 13) continue;
    const std::vector<std::uint8_t> wire{static_cast<std::uint8_t>(type), 0, 0, 1};
    EXPECT_EQ(parse(wire, 4).error, FrameError::kUnknownType) << type;
  }
}

RC_GTEST_PROP(Framing, DataPassesByWhateverThePieces, (std::vector<std::uint8_t> data)) {
  const auto piece = *rc::gen::inRange<std::size_t>(1, 64);
  const auto record = *rc::gen::inRange<std::size_t>(1, 64);
  std::vector<std::uint8_t> wire;
  for (std::size_t at = 0; at < data.size(); at += record) {
    const std::size_t n = std::min(record, data.size() - at);
    const auto head = header(RecordType::kData, n);
    wire.insert(wire.end(), head.begin(), head.end());
    wire.insert(wire.end(), data.begin() + static_cast<std::ptrdiff_t>(at),
                data.begin() + static_cast<std::ptrdiff_t>(at + n));
    append_record(wire, RecordType::kPing, {});
  }
  const Seen seen = parse(wire, piece);
  RC_ASSERT(!seen.error);
  RC_ASSERT(seen.data == data);
  RC_ASSERT(seen.records.size() == (data.size() + record - 1) / record);
}

}  // namespace
}  // namespace vtl::transport
