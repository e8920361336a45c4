#include "vtl/transport/tor_control_lines.h"

#include <algorithm>
#include <charconv>

namespace vtl::transport {
namespace {

constexpr std::size_t kStatusDigits = 3;

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}
bool is_octal(char c) {
  return c >= '0' && c <= '7';
}

std::optional<std::uint8_t> hex_digit(char c) {
  if (is_digit(c)) return static_cast<std::uint8_t>(c - '0');
  if (c >= 'a' && c <= 'f') return static_cast<std::uint8_t>(c - 'a' + 10);
  if (c >= 'A' && c <= 'F') return static_cast<std::uint8_t>(c - 'A' + 10);
  return std::nullopt;
}

/// What stands behind a backslash; takes it from `rest`.
char unescape(std::string_view& rest) {
  if (is_octal(rest.front())) {
    unsigned value = 0;
    for (int i = 0; i < 3 && !rest.empty() && is_octal(rest.front()); ++i) {
      value = value * 8 + static_cast<unsigned>(rest.front() - '0');
      rest.remove_prefix(1);
    }
    return static_cast<char>(static_cast<std::uint8_t>(value));
  }
  const char c = rest.front();
  rest.remove_prefix(1);
  return c == 'n' ? '\n' : c == 'r' ? '\r' : c == 't' ? '\t' : c;
}

/// The text up to the closing quote, which is taken too; nothing when there is none.
std::optional<std::string> quoted(std::string_view& rest) {
  std::string text;
  while (!rest.empty()) {
    const char c = rest.front();
    rest.remove_prefix(1);
    if (c == '"') return text;
    if (c == '\\' && !rest.empty())
      text += unescape(rest);
    else
      text += c;
  }
  return std::nullopt;
}

}  // namespace

bool TorLineReader::take(Bytes bytes, FunctionRef<bool(const TorLine&)> on_line) {
  std::string_view rest(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  while (!over_ && !rest.empty()) {
    const std::size_t end = std::min(rest.find('\n'), rest.size());
    if (line_.size() + end > kMaxLine) {
      error_ = "a line is too long";
      over_ = true;
      break;
    }
    line_ += rest.substr(0, end);
    if (end == rest.size()) break;
    rest.remove_prefix(end + 1);
    std::string_view line = line_;
    if (line.ends_with('\r')) line.remove_suffix(1);
    over_ = !take_line(line, on_line);
    line_.clear();
  }
  return !over_;
}

bool TorLineReader::take_line(std::string_view line, FunctionRef<bool(const TorLine&)> on_line) {
  if (block_) {
    const unsigned status = *block_;
    if (line == ".") {
      block_.reset();
      return on_line({TorLine::Kind::kDataEnd, status, {}});
    }
    if (line.starts_with('.')) line.remove_prefix(1);
    return on_line({TorLine::Kind::kData, status, line});
  }
  if (line.size() <= kStatusDigits || line.front() == '0' ||
      !std::all_of(line.begin(), line.begin() + kStatusDigits, is_digit)) {
    error_ = "a line has no status";
    return false;
  }
  TorLine reply;
  std::from_chars(line.data(), line.data() + kStatusDigits, reply.status);
  reply.text = line.substr(kStatusDigits + 1);
  switch (line[kStatusDigits]) {
    case ' ':
      reply.kind = TorLine::Kind::kLast;
      break;
    case '-':
      reply.kind = TorLine::Kind::kMiddle;
      break;
    case '+':
      reply.kind = TorLine::Kind::kBlock;
      block_ = reply.status;
      break;
    default:
      error_ = "a line has no kind";
      return false;
  }
  return on_line(reply);
}

std::optional<TorWord> next_word(std::string_view& line) {
  line.remove_prefix(std::min(line.find_first_not_of(' '), line.size()));
  if (line.empty()) return std::nullopt;
  TorWord word;
  const std::size_t end = std::min(line.find_first_of(" =\""), line.size());
  if (end < line.size() && line[end] == '=') {
    word.key = line.substr(0, end);
    line.remove_prefix(end + 1);
  }
  if (line.starts_with('"')) {
    line.remove_prefix(1);
    auto text = quoted(line);
    if (!text) return std::nullopt;
    word.text = std::move(*text);
  } else {
    const std::size_t size = std::min(line.find(' '), line.size());
    word.text = line.substr(0, size);
    line.remove_prefix(size);
  }
  return word;
}

std::string printable(std::string_view text, std::size_t most) {
  std::string out(text.substr(0, most));
  for (char& c : out)
    if (c < ' ' || c > '~') c = '?';
  return out;
}

std::string to_hex(Bytes bytes) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string out;
  out.reserve(2 * bytes.size());
  for (const std::uint8_t octet : bytes) {
    out += kDigits[octet >> 4];
    out += kDigits[octet & 15];
  }
  return out;
}

bool from_hex(std::string_view text, MutableBytes out) {
  if (text.size() != 2 * out.size()) return false;
  for (std::size_t i = 0; i < out.size(); ++i) {
    const auto high = hex_digit(text[2 * i]);
    const auto low = hex_digit(text[2 * i + 1]);
    if (!high || !low) return false;
    out[i] = static_cast<std::uint8_t>(*high << 4 | *low);
  }
  return true;
}

}  // namespace vtl::transport
