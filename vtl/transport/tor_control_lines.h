// Tor's control port, read line by line (control-spec.txt, section 2.3), and the words of a line.
//
// Thread rule: values, one thread. Invariants: no more than one line of at most kMaxLine octets is
// held; after an error nothing more is taken.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "vtl/base/bytes.h"
#include "vtl/base/function_ref.h"

namespace vtl::transport {

struct TorLine {
  enum class Kind : std::uint8_t {
    kMiddle,   ///< "250-text": more lines of the reply follow
    kBlock,    ///< "250+text": so do lines of data
    kData,     ///< one of these
    kDataEnd,  ///< and the end of them
    kLast,     ///< "250 text"
  };
  Kind kind = Kind::kLast;
  unsigned status = 0;    ///< 100 to 999; that of the block for its data
  std::string_view text;  ///< valid until the callback returns
};

class TorLineReader {
 public:
  static constexpr std::size_t kMaxLine = 8192;

  /// Calls `on_line` for each line that is whole; false from it ends the reading. Returns false
  /// from then on, and after a line that is too long or no reply.
  [[nodiscard]] bool take(Bytes bytes, FunctionRef<bool(const TorLine&)> on_line);
  /// What was wrong; empty when nothing was, or when `on_line` ended it.
  [[nodiscard]] std::string_view error() const noexcept { return error_; }

 private:
  [[nodiscard]] bool take_line(std::string_view line, FunctionRef<bool(const TorLine&)> on_line);

  std::string line_;               // the beginning of one
  std::optional<unsigned> block_;  // its status, inside a block of data
  bool over_ = false;
  std::string_view error_;
};

/// A word of a line: `text`, or `key=text` where the text may be quoted.
struct TorWord {
  std::string_view key;  ///< empty when there is none
  std::string text;      ///< without quotes and escapes
};

/// Takes the next word from `line`. Nothing at its end, and nothing more behind a quoted text that
/// does not end.
[[nodiscard]] std::optional<TorWord> next_word(std::string_view& line);

/// For people: printable ASCII, other octets as '?', at most `most` of them.
[[nodiscard]] std::string printable(std::string_view text, std::size_t most);

[[nodiscard]] std::string to_hex(Bytes bytes);
/// Exactly `out.size()` octets; false when the text is no such number of hexadecimal digits.
[[nodiscard]] bool from_hex(std::string_view text, MutableBytes out);

}  // namespace vtl::transport
