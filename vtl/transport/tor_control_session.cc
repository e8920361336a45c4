#include "vtl/transport/tor_control_session.h"

#include <fmt/format.h>

#include <charconv>
#include <utility>
#include <vector>

#include "vtl/transport/peer_auth.h"

namespace vtl::transport {
namespace {

constexpr unsigned kOk = 250;
constexpr unsigned kFirstEvent = 600;  // section 4.1: replies from 600 on are events
constexpr std::size_t kMostOfAText = 200;
constexpr std::string_view kQuestion =
    "GETINFO version status/bootstrap-phase status/circuit-established circuit-status\r\n";
// Section 3.24.
constexpr std::string_view kServerRole = "Tor safe cookie authentication server-to-controller hash";
constexpr std::string_view kClientRole = "Tor safe cookie authentication controller-to-server hash";

Bytes octets(std::string_view text) {
  return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()};
}

/// Whether `list`, separated by commas, has `item`.
bool lists(std::string_view list, std::string_view item) {
  while (!list.empty()) {
    const std::size_t end = std::min(list.find(','), list.size());
    if (list.substr(0, end) == item) return true;
    list.remove_prefix(std::min(end + 1, list.size()));
  }
  return false;
}

/// Cuts "key=" off the front of `text`; false when it begins otherwise.
bool take_key(std::string_view& text, std::string_view key) {
  if (!text.starts_with(key) || !text.substr(key.size()).starts_with('=')) return false;
  text.remove_prefix(key.size() + 1);
  return true;
}

}  // namespace

TorControlSession::TorControlSession(const TorControlOptions& options, const Nonce& nonce,
                                     ReadCookie read_cookie)
    : options_(options),
      nonce_(nonce),
      read_cookie_(std::move(read_cookie)),
      output_("PROTOCOLINFO 1\r\n") {}

std::string TorControlSession::take_output() {
  return std::exchange(output_, {});
}

bool TorControlSession::receive(Bytes bytes) {
  if (step_ == Step::kFailed) return false;
  if (lines_.take(bytes, [this](const TorLine& line) { return take(line); })) return true;
  return step_ == Step::kFailed
             ? false
             : fail(fmt::format("what answers is no control port: {}", lines_.error()));
}

void TorControlSession::ask() {
  step_ = Step::kAsked;
  next_ = TorStatus();
  output_ += kQuestion;
}

bool TorControlSession::fail(std::string why) {
  step_ = Step::kFailed;
  error_ = std::move(why);
  return false;
}

bool TorControlSession::refused(const TorLine& line, std::string_view what) {
  return fail(fmt::format("{}: {} {}", what, line.status, printable(line.text, kMostOfAText)));
}

bool TorControlSession::take(const TorLine& line) {
  if (line.status >= kFirstEvent) return true;
  switch (step_) {
    case Step::kHello:
      return take_hello(line);
    case Step::kChallenge:
      return take_challenge(line);
    case Step::kLetIn:
      return take_let_in(line);
    case Step::kAsked:
      return take_answer(line);
    case Step::kIdle:
      return refused(line, "an answer to no question");
    case Step::kFailed:
      break;
  }
  return false;
}

// --- let in ---

bool TorControlSession::take_hello(const TorLine& line) {
  if (line.status != kOk) return refused(line, "the control port does not say how to be let in");
  std::string_view words = line.text;
  if (line.kind == TorLine::Kind::kMiddle && words.starts_with("AUTH ")) {
    words.remove_prefix(5);
    take_auth(words);
  }
  return line.kind == TorLine::Kind::kLast ? authenticate() : true;
}

void TorControlSession::take_auth(std::string_view words) {
  told_auth_ = true;
  while (const auto word = next_word(words)) {
    if (word->key == "METHODS") methods_ = word->text;
    if (word->key == "COOKIEFILE") cookie_file_ = word->text;
  }
}

bool TorControlSession::authenticate() {
  if (!told_auth_) return fail("the control port does not say how to be let in");
  if (lists(methods_, "NULL")) {
    output_ += "AUTHENTICATE\r\n";
  } else if (!options_.password.empty() && lists(methods_, "HASHEDPASSWORD")) {
    output_ += fmt::format("AUTHENTICATE {}\r\n", to_hex(octets(options_.password)));
  } else {
    return authenticate_by_cookie();
  }
  step_ = Step::kLetIn;
  return true;
}

bool TorControlSession::authenticate_by_cookie() {
  const bool safe = lists(methods_, "SAFECOOKIE");
  if (!safe && (!lists(methods_, "COOKIE") || options_.cookie_file.empty()))
    return fail(
        fmt::format("the control port offers {}: give it a password (HashedControlPassword), or "
                    "Tor CookieAuthentication",
                    methods_.empty() ? "nothing" : printable(methods_, kMostOfAText)));
  const std::string& path = options_.cookie_file.empty() ? cookie_file_ : options_.cookie_file;
  if (!path.starts_with('/') || path.find('\0') != std::string::npos)
    return fail("the control port does not say where its cookie is; give its file");
  const auto cookie = read_cookie_(path);
  if (!cookie) return fail(cookie.error().message);
  cookie_ = *cookie;
  if (safe) {
    output_ += fmt::format("AUTHCHALLENGE SAFECOOKIE {}\r\n", to_hex(nonce_));
    step_ = Step::kChallenge;
  } else {
    output_ += fmt::format("AUTHENTICATE {}\r\n", to_hex(cookie_));
    step_ = Step::kLetIn;
  }
  return true;
}

Mac TorControlSession::proof(std::string_view role, const Nonce& server) const {
  std::vector<std::uint8_t> text(cookie_.begin(), cookie_.end());
  text.insert(text.end(), nonce_.begin(), nonce_.end());
  text.insert(text.end(), server.begin(), server.end());
  return hmac_sha256(octets(role), text);
}

bool TorControlSession::take_challenge(const TorLine& line) {
  if (line.status != kOk || line.kind != TorLine::Kind::kLast)
    return refused(line, "the control port makes no challenge");
  Mac hash{};
  Nonce server{};
  bool has_hash = false;
  bool has_nonce = false;
  std::string_view words = line.text;
  while (const auto word = next_word(words)) {
    if (word->key == "SERVERHASH") has_hash = from_hex(word->text, hash);
    if (word->key == "SERVERNONCE") has_nonce = from_hex(word->text, server);
  }
  if (!has_hash || !has_nonce) return refused(line, "the control port's challenge is malformed");
  if (!equal_constant_time(hash, proof(kServerRole, server)))
    return fail("what answers at the control port does not know Tor's cookie");
  output_ += fmt::format("AUTHENTICATE {}\r\n", to_hex(proof(kClientRole, server)));
  step_ = Step::kLetIn;
  return true;
}

bool TorControlSession::take_let_in(const TorLine& line) {
  if (line.status != kOk) return refused(line, "the control port does not let in");
  if (line.kind == TorLine::Kind::kLast) ask();
  return true;
}

// --- the answer ---

bool TorControlSession::take_answer(const TorLine& line) {
  if (line.status != kOk) return refused(line, "the control port does not answer");
  std::string_view text = line.text;
  switch (line.kind) {
    case TorLine::Kind::kMiddle:
      if (take_key(text, "version"))
        next_.version = printable(text, kMostOfAText);
      else if (take_key(text, "status/bootstrap-phase"))
        take_bootstrap(text);
      else if (take_key(text, "status/circuit-established"))
        next_.circuit_established = text == "1";
      else if (take_key(text, "circuit-status") && !text.empty())
        take_circuit(text);
      return true;
    case TorLine::Kind::kData:  // of circuit-status, the only answer that has some
      take_circuit(text);
      return true;
    case TorLine::Kind::kBlock:
    case TorLine::Kind::kDataEnd:
      return true;
    case TorLine::Kind::kLast:
      break;
  }
  status_ = std::move(next_);
  status_.reachable = true;
  step_ = Step::kIdle;
  return true;
}

void TorControlSession::take_bootstrap(std::string_view words) {
  while (const auto word = next_word(words)) {
    if (word->key == "SUMMARY") next_.bootstrap_summary = printable(word->text, kMostOfAText);
    if (word->key != "PROGRESS") continue;
    unsigned percent = 0;
    const char* const end = word->text.data() + word->text.size();
    const auto [at, error] = std::from_chars(word->text.data(), end, percent);
    if (error == std::errc() && at == end && percent <= 100) next_.bootstrap = percent;
  }
}

// Section 4.1.1: a number, the state, and more.
void TorControlSession::take_circuit(std::string_view words) {
  if (!next_word(words)) return;
  const auto state = next_word(words);
  if (!state) return;
  if (state->text == "BUILT") ++next_.circuits_built;
  if (state->text == "LAUNCHED" || state->text == "EXTENDED" || state->text == "GUARD_WAIT")
    ++next_.circuits_building;
}

}  // namespace vtl::transport
