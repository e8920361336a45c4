// Framing: the records that carry streams over a channel that only carries bytes.
//
// A record is a header of four octets, the type (1) and the length of the body (3, big-endian),
// and the body. DATA bodies are the stream's bytes and pass the parser by: it only counts them.
// All other bodies are small, of a fixed or bounded size, and collected here. The records are what
// a raw channel lacks: half-close (UDT has none), resets with a reason, authentication, the
// preface.
//
//   CHALLENGE RESPONSE WELCOME   the handshake (peer_auth.h)
//   OPEN ACCEPT REFUSE           a stream begins, or not
//   DATA FIN                     its bytes and their end
//   CREDIT                       so many more bytes may be sent (connection.h)
//   END                          the receiver of FIN has read everything
//   RESET                        the stream ends now; the connection with it
//   PING PONG                    is the peer alive
//
// After FIN and END both ways the connection carries another stream.
//
// Thread rule: one thread per parser. Invariants: memory is kMaxControl + kHeaderSize; a header is
// judged before its body is awaited; after an error the parser must not be fed again.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "vtl/base/bytes.h"
#include "vtl/base/result.h"

namespace vtl::transport {

enum class RecordType : std::uint8_t {
  kChallenge = 1,
  kResponse,
  kWelcome,
  kOpen,
  kAccept,
  kRefuse,
  kData,
  kFin,
  kEnd,
  kReset,
  kPing,
  kPong,
  kCredit,
};

inline constexpr std::size_t kHeaderSize = 4;
inline constexpr std::size_t kMaxData = std::size_t{1} << 20;  ///< octets in one DATA record
inline constexpr std::size_t kMaxControl = 1024;               ///< octets in any other body

enum class FrameError : std::uint8_t {
  kUnknownType,
  kBadLength,  ///< a body shorter or longer than its type has
};
[[nodiscard]] std::string_view to_string(FrameError error) noexcept;

/// Writes a header; `length` is one that the type can have.
void emit_header(MutableBytes out, RecordType type, std::size_t length) noexcept;
/// Appends a record other than DATA.
void append_record(std::vector<std::uint8_t>& out, RecordType type, Bytes body);

/// A complete record other than DATA. The body is valid until the parser is fed again.
struct Record {
  RecordType type;
  Bytes body;
};

class RecordParser {
 public:
  /// Octets of stream data that come next; while it is 0, gap() is to be filled.
  [[nodiscard]] std::size_t data_remaining() const noexcept { return data_remaining_; }
  /// n <= data_remaining() octets of data were read.
  void data_taken(std::size_t n) noexcept { data_remaining_ -= n; }

  /// Where the next octets of a header or control body belong; never empty. While data remains it
  /// is the place of what follows the data.
  [[nodiscard]] MutableBytes gap() noexcept;
  /// The first n octets of gap() were filled. A record when that completed one.
  [[nodiscard]] Result<std::optional<Record>, FrameError> filled(std::size_t n) noexcept;
  /// Nothing of a record has been read yet.
  [[nodiscard]] bool at_boundary() const noexcept { return have_ == 0 && data_remaining_ == 0; }

 private:
  std::array<std::uint8_t, kHeaderSize + kMaxControl> buffer_{};
  std::size_t have_ = 0;  // octets of header and body in buffer_
  std::size_t body_ = 0;  // length of the control body; meaningful when have_ >= kHeaderSize
  std::size_t data_remaining_ = 0;
};

}  // namespace vtl::transport
