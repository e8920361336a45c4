// Tor's control port: the protocol against texts written down from control-spec.txt, and the
// connection against a scripted server.
#include "vtl/transport/tor_control.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include <algorithm>

#include "socks_lab.h"
#include "vtl/transport/hmac.h"
#include "vtl/transport/tor_control_session.h"

namespace vtl::transport::test {
namespace {

using Session = TorControlSession;

const Session::Cookie kCookie = [] {
  Session::Cookie cookie;
  for (std::size_t i = 0; i < cookie.size(); ++i) cookie[i] = static_cast<std::uint8_t>(200 + i);
  return cookie;
}();
const Session::Nonce kNonce = {1, 2, 3};
const Session::Nonce kServerNonce = {9, 8, 7};

const std::string kHelloCookie =
    "250-PROTOCOLINFO 1\r\n"
    "250-AUTH METHODS=COOKIE,SAFECOOKIE COOKIEFILE=\"/run/tor/control\\.authcookie\"\r\n"
    "250-VERSION Tor=\"0.4.7.16\"\r\n250 OK\r\n";
const std::string kHelloNull = "250-PROTOCOLINFO 1\r\n250-AUTH METHODS=NULL\r\n250 OK\r\n";
const std::string kHelloPassword =
    "250-PROTOCOLINFO 1\r\n250-AUTH METHODS=HASHEDPASSWORD\r\n250 OK\r\n";
const std::string kAnswer =
    "250-version=0.4.7.16\r\n"
    "250-status/bootstrap-phase=NOTICE BOOTSTRAP PROGRESS=75 TAG=enough_dirinfo "
    "SUMMARY=\"Loaded enough \\\"info\\\"\"\r\n"
    "250-status/circuit-established=1\r\n"
    "250+circuit-status=\r\n"
    "1 BUILT $AA~a,$BB~b,$CC~c BUILD_FLAGS=NEED_CAPACITY PURPOSE=GENERAL\r\n"
    "2 EXTENDED $AA~a PURPOSE=GENERAL\r\n"
    "3 BUILT $AA~a,$BB~b\r\n"
    "4 LAUNCHED\r\n"
    "5 FAILED REASON=TIMEOUT\r\n"
    "..\r\n"
    ".\r\n"
    "250 OK\r\n";

std::string mac_of(std::string_view role, const Session::Nonce& nonce,
                   const Session::Cookie& cookie) {
  std::vector<std::uint8_t> text(cookie.begin(), cookie.end());
  text.insert(text.end(), nonce.begin(), nonce.end());
  text.insert(text.end(), kServerNonce.begin(), kServerNonce.end());
  return to_hex(hmac_sha256(bytes_of(role), text));
}
std::string challenge(const Session::Nonce& nonce, const Session::Cookie& cookie = kCookie) {
  return "250 AUTHCHALLENGE SERVERHASH=" +
         mac_of("Tor safe cookie authentication server-to-controller hash", nonce, cookie) +
         " SERVERNONCE=" + to_hex(kServerNonce) + "\r\n";
}
std::string proof(const Session::Nonce& nonce) {
  return mac_of("Tor safe cookie authentication controller-to-server hash", nonce, kCookie);
}

Outcome<Session::Cookie> give_cookie(const std::string&) {
  return kCookie;
}

struct Asked {
  std::string path;
  Session::ReadCookie function() {
    return [this](const std::string& at) -> Outcome<Session::Cookie> {
      path = at;
      if (at == "/nowhere") return fail("cannot read it");
      return kCookie;
    };
  }
};

bool say(Session& session, std::string_view text) {
  return session.receive(bytes_of(text));
}

TEST(TorControlSession, SafeCookieAndTheAnswer) {
  Asked asked;
  Session session({}, kNonce, asked.function());
  EXPECT_EQ(session.take_output(), "PROTOCOLINFO 1\r\n");
  EXPECT_TRUE(say(session, kHelloCookie));
  EXPECT_EQ(asked.path, "/run/tor/control.authcookie");
  EXPECT_EQ(session.take_output(), "AUTHCHALLENGE SAFECOOKIE " + to_hex(kNonce) + "\r\n");
  EXPECT_TRUE(say(session, challenge(kNonce)));
  EXPECT_EQ(session.take_output(), "AUTHENTICATE " + proof(kNonce) + "\r\n");
  EXPECT_TRUE(say(session, "250 OK\r\n"));
  EXPECT_EQ(session.take_output(),
            "GETINFO version status/bootstrap-phase status/circuit-established "
            "circuit-status\r\n");
  EXPECT_FALSE(session.idle());
  EXPECT_FALSE(session.status().reachable);
  EXPECT_TRUE(say(session, kAnswer));
  EXPECT_TRUE(session.idle());
  const TorStatus& status = session.status();
  EXPECT_TRUE(status.reachable);
  EXPECT_EQ(status.version, "0.4.7.16");
  EXPECT_EQ(status.bootstrap, 75U);
  EXPECT_EQ(status.bootstrap_summary, "Loaded enough \"info\"");
  EXPECT_TRUE(status.circuit_established);
  EXPECT_EQ(status.circuits_built, 2U);
  EXPECT_EQ(status.circuits_building, 2U);
  // The next answer takes the place of this one.
  session.ask();
  EXPECT_TRUE(say(session, "650 CIRC 7 BUILT\r\n650+X\r\nBUILT BUILT\r\n.\r\n650 OK\r\n"));
  EXPECT_EQ(session.status().circuits_built, 2U);
  EXPECT_TRUE(say(session,
                  "250-version=1\r\n250-status/circuit-established=0\r\n"
                  "250-circuit-status=\r\n250 OK\r\n"));
  EXPECT_EQ(session.status().circuits_built, 0U);
  EXPECT_FALSE(session.status().circuit_established);
  session.ask();
  EXPECT_TRUE(say(session, "250-circuit-status=8 BUILT $AA\r\n250 OK\r\n"));
  EXPECT_EQ(session.status().circuits_built, 1U);
}

TEST(TorControlSession, CutAtEveryOctet) {
  const std::string all = kHelloCookie + challenge(kNonce) + "250 OK\r\n" + kAnswer;
  const auto run = [&](std::size_t cut, std::size_t piece) {
    Asked asked;
    Session session({}, kNonce, asked.function());
    std::string_view rest = all;
    for (std::size_t size = cut; !rest.empty(); size = piece) {
      const std::string_view next = rest.substr(0, size);
      rest.remove_prefix(next.size());
      EXPECT_TRUE(say(session, next));
    }
    EXPECT_TRUE(session.idle());
    EXPECT_EQ(session.status().circuits_built, 2U);
    EXPECT_EQ(session.status().bootstrap_summary, "Loaded enough \"info\"");
  };
  for (std::size_t cut = 1; cut < all.size(); ++cut) run(cut, all.size());
  run(1, 1);
}

// Who listens there without knowing the cookie is told nothing of it.
TEST(TorControlSession, AWrongProofEndsIt) {
  Session::Cookie other = kCookie;
  other[31] ^= 1;
  for (const std::string& answer :
       {challenge(kNonce, other), challenge(kServerNonce), std::string("250 AUTHCHALLENGE\r\n"),
        "250 AUTHCHALLENGE SERVERHASH=00 SERVERNONCE=" + to_hex(kServerNonce) + "\r\n",
        std::string("250-X\r\n250 OK\r\n"), std::string("512 no\r\n")}) {
    Asked asked;
    Session session({}, kNonce, asked.function());
    EXPECT_TRUE(say(session, kHelloCookie));
    (void)session.take_output();
    EXPECT_FALSE(say(session, answer)) << answer;
    EXPECT_EQ(session.take_output(), "");
    EXPECT_NE(session.error(), "");
    EXPECT_FALSE(say(session, "250 OK\r\n"));
  }
}

TEST(TorControlSession, HowToBeLetIn) {
  const auto answer_to = [](const TorControlOptions& options, const std::string& hello) {
    Asked asked;
    Session session(options, kNonce, asked.function());
    (void)session.take_output();
    const bool ok = say(session, hello);
    return ok ? session.take_output() : "error: " + session.error();
  };
  const auto hello = [](const std::string& auth) {
    return "250-PROTOCOLINFO 1\r\n250-AUTH " + auth + "\r\n250 OK\r\n";
  };
  const std::string cookie_only = hello("METHODS=COOKIE COOKIEFILE=\"/etc/secret\"");
  TorControlOptions with;
  EXPECT_EQ(answer_to(with, kHelloNull), "AUTHENTICATE\r\n");
  EXPECT_NE(answer_to(with, kHelloPassword).find("offers HASHEDPASSWORD"), std::string::npos);
  EXPECT_NE(answer_to(with, cookie_only).find("offers COOKIE"), std::string::npos)
      << "a file that Tor names is not sent";
  EXPECT_NE(answer_to(with, hello("METHODS=SAFECOOKIE")).find("does not say where"),
            std::string::npos);
  EXPECT_NE(answer_to(with, hello("METHODS=SAFECOOKIE COOKIEFILE=\"relative\"")).find("error"),
            std::string::npos);
  EXPECT_NE(answer_to(with, hello("METHODS=SAFECOOKIE COOKIEFILE=\"/a\\0b\"")).find("error"),
            std::string::npos);
  EXPECT_EQ(answer_to(with, hello("METHODS=SAFECOOKIE COOKIEFILE=\"/nowhere\"")),
            "error: cannot read it");
  EXPECT_NE(answer_to(with, "250-PROTOCOLINFO 1\r\n250 OK\r\n").find("error"), std::string::npos);
  EXPECT_NE(answer_to(with, "510 what\r\n").find("510 what"), std::string::npos);
  EXPECT_NE(answer_to(with, hello("METHODS=\x01\x02")).find("??"), std::string::npos);
  with.cookie_file = "/cookie";
  EXPECT_EQ(answer_to(with, cookie_only), "AUTHENTICATE " + to_hex(kCookie) + "\r\n");
  EXPECT_EQ(answer_to(with, kHelloCookie), "AUTHCHALLENGE SAFECOOKIE " + to_hex(kNonce) + "\r\n");
  with.password = "a\r\n\"";
  EXPECT_EQ(answer_to(with, kHelloPassword), "AUTHENTICATE 610d0a22\r\n");
}

TEST(TorControlSession, NotLetInAndNotAnswered) {
  Session shut({}, kNonce, give_cookie);
  EXPECT_TRUE(say(shut, kHelloNull));
  EXPECT_FALSE(say(shut, "515 Authentication failed\r\n"));
  EXPECT_NE(shut.error().find("515 Authentication failed"), std::string::npos);
  Session refuses({}, kNonce, give_cookie);
  EXPECT_TRUE(say(refuses, kHelloNull + "250 OK\r\n"));
  EXPECT_FALSE(say(refuses, "552 Unrecognized key\r\n"));
  Session talks({}, kNonce, give_cookie);
  EXPECT_TRUE(say(talks, kHelloNull + "250 OK\r\n" + kAnswer));
  EXPECT_FALSE(say(talks, "250 OK\r\n")) << "nothing was asked";
}

TEST(TorControlSession, LinesThatAreNone) {
  for (const std::string& line :
       {std::string("HTTP/1.1 400 Bad Request\r\n"), std::string("250\r\n"),
        std::string("250?x\r\n"), std::string("\r\n"), std::string("099 x\r\n"),
        std::string(8193, '2')}) {
    Session session({}, kNonce, give_cookie);
    EXPECT_FALSE(say(session, line));
    EXPECT_NE(session.error(), "");
  }
  Session longest({}, kNonce, give_cookie);
  EXPECT_TRUE(say(longest, "250-" + std::string(8192 - 4, 'x')));
  EXPECT_TRUE(say(longest, "\n"));
}

TEST(TorControlSession, HostileAnswersAreCutAndMadePrintable) {
  Session session({}, kNonce, give_cookie);
  EXPECT_TRUE(say(session, kHelloNull + "250 OK\r\n"));
  EXPECT_TRUE(say(session, "250-version=\x1b[2J" + std::string(5000, 'v') + "\r\n"));
  EXPECT_TRUE(say(session,
                  "250-status/bootstrap-phase=PROGRESS=101 PROGRESS=x PROGRESS= "
                  "SUMMARY=\"no end\r\n"));
  EXPECT_TRUE(say(session, "250-circuit-status=BUILT\r\n250 OK\r\n"));
  EXPECT_EQ(session.status().version.size(), 200U);
  EXPECT_EQ(session.status().version.substr(0, 5), "?[2Jv");
  EXPECT_EQ(session.status().bootstrap, 0U);
  EXPECT_EQ(session.status().bootstrap_summary, "");
  EXPECT_EQ(session.status().circuits_built, 0U);
}

TEST(TorControlLines, Words) {
  std::string_view line = R"( one  key=two k="a \"b\" \\ \101\n" = q="")";
  std::vector<std::pair<std::string, std::string>> words;
  while (const auto word = next_word(line)) words.emplace_back(word->key, word->text);
  EXPECT_EQ(words, (std::vector<std::pair<std::string, std::string>>{
                       {"", "one"}, {"key", "two"}, {"k", "a \"b\" \\ A\n"}, {"", ""}, {"q", ""}}));
  for (const std::string_view open : {"k=\"abc", "\"", "k=\"a\\"}) {
    line = open;
    EXPECT_FALSE(next_word(line));
    EXPECT_FALSE(next_word(line));
  }
}

// --- the connection ---

/// A control port: a script of answers to lines.
class ControlServer {
 public:
  explicit ControlServer(TestReactor& reactor) : reactor_(reactor) { listen(0); }

  std::string hello = kHelloCookie;
  Session::Cookie cookie = kCookie;
  std::size_t piece = 0;
  bool silent = false;
  int connections = 0, questions = 0;
  std::vector<std::string> lines;

  [[nodiscard]] wire::SocketAddress address() const { return address_; }
  void kill() {
    peer_watch_.reset();
    peer_.reset();
    watch_.reset();
    fd_.reset();
  }
  void restart() { listen(address_.port.value()); }
  void say(const std::string& text) {
    if (piece == 0) {
      (void)!::send(peer_.get(), text.data(), text.size(), MSG_NOSIGNAL);
      return;
    }
    const bool sending = !out_.empty();
    out_ += text;
    if (!sending) send_piece();
  }

 private:
  void listen(std::uint16_t port) {
    fd_ = Descriptor(::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    const int one = 1;
    ::setsockopt(fd_.get(), SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    const SystemAddress any({wire::Ipv4Address(127, 0, 0, 1), wire::Port(port)});
    ASSERT_EQ(::bind(fd_.get(), any.data(), any.size()), 0);
    ASSERT_EQ(::listen(fd_.get(), 16), 0);
    SystemAddress local;
    socklen_t size = SystemAddress::kCapacity;
    ::getsockname(fd_.get(), local.data(), &size);
    address_ = local.value();
    watch_ = reactor_.watch(fd_.get(), Readiness::kReadable, [this](Readiness) {
      peer_watch_.reset();
      peer_ = Descriptor(::accept4(fd_.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
      ++connections;
      in_.clear();
      out_.clear();
      peer_watch_ =
          reactor_.watch(peer_.get(), Readiness::kReadable, [this](Readiness) { take(); });
    });
  }
  void take() {
    std::array<char, 4096> buffer;
    const ssize_t n = ::recv(peer_.get(), buffer.data(), buffer.size(), 0);
    if (n <= 0) return peer_watch_.reset();
    in_.append(buffer.data(), static_cast<std::size_t>(n));
    for (std::size_t end = in_.find("\r\n"); end != std::string::npos; end = in_.find("\r\n")) {
      lines.push_back(in_.substr(0, end));
      in_.erase(0, end + 2);
      if (!silent) answer(lines.back());
    }
  }
  void answer(const std::string& line) {
    if (line.starts_with("PROTOCOLINFO")) return say(hello);
    if (line.starts_with("AUTHCHALLENGE SAFECOOKIE ")) {
      EXPECT_TRUE(from_hex(line.substr(25), nonce_));
      return say(challenge(nonce_, cookie));
    }
    if (line.starts_with("AUTHENTICATE")) {
      const bool good = hello != kHelloCookie || line == "AUTHENTICATE " + proof(nonce_);
      return say(good ? "250 OK\r\n" : "515 Authentication failed\r\n");
    }
    ++questions;
    say(kAnswer);
  }
  void send_piece() {
    const std::size_t size = std::min(piece, out_.size());
    (void)!::send(peer_.get(), out_.data(), size, MSG_NOSIGNAL);
    out_.erase(0, size);
    if (!out_.empty()) reactor_.post([this] { send_piece(); });
  }

  TestReactor& reactor_;
  wire::SocketAddress address_;
  Session::Nonce nonce_{};
  std::string in_, out_;
  Descriptor fd_, peer_;
  std::unique_ptr<FdWatch> watch_, peer_watch_;
};

class TorControls : public ::testing::Test {
 protected:
  TorControls() {
    char path[] = "/tmp/vtl-cookie-XXXXXX";
    const Descriptor fd(::mkstemp(path));
    EXPECT_EQ(::write(fd.get(), kCookie.data(), kCookie.size()),
              static_cast<ssize_t>(kCookie.size()));
    file = path;
  }
  ~TorControls() override { ::unlink(file.c_str()); }
  TorControlOptions options() {
    TorControlOptions with;
    with.address = server.address();
    with.cookie_file = file;
    with.poll = 100ms;
    with.timeout = 10s;
    return with;
  }
  bool until_reachable(const TorControl& control) {
    return reactor.run_until([&] { return control.status().reachable; });
  }
  // The error of the first failure.
  std::string until_failed(const TorControl& control) {
    const std::string before = control.status().error;
    EXPECT_TRUE(reactor.run_until(
        [&] { return !control.status().reachable && control.status().error != before; }));
    return control.status().error;
  }

  std::string file;
  TestReactor reactor;
  ControlServer server{reactor};
};

TEST_F(TorControls, AskedAgainAndAgainOnOneConnection) {
  for (const std::size_t piece : {0U, 1U}) {
    server.piece = piece;
    const int questions = server.questions, connections = server.connections;
    const TorControl control(options(), "p", reactor);
    EXPECT_FALSE(control.status().reachable);
    ASSERT_TRUE(until_reachable(control));
    EXPECT_EQ(control.status().circuits_built, 2U);
    EXPECT_EQ(control.status().error, "");
    ASSERT_TRUE(reactor.run_until([&] { return server.questions >= questions + 3; }));
    EXPECT_EQ(server.connections, connections + 1);
  }
}

TEST_F(TorControls, GoneAndBack) {
  const TorControl control(options(), "p", reactor);
  ASSERT_TRUE(until_reachable(control));
  server.kill();
  EXPECT_NE(until_failed(control), "");
  ASSERT_TRUE(reactor.run_until(
      [&] { return control.status().error.find("Connection refused") != std::string::npos; }));
  EXPECT_EQ(control.status().version, "");
  server.restart();
  ASSERT_TRUE(until_reachable(control));
}

TEST_F(TorControls, WrongCookieAndNoCookie) {
  server.cookie[0] ^= 1;
  const TorControl wrong(options(), "p", reactor);
  EXPECT_NE(until_failed(wrong).find("does not know Tor's cookie"), std::string::npos);
  for (const std::string& line : server.lines) EXPECT_FALSE(line.starts_with("AUTHENTICATE"));
  TorControlOptions with = options();
  with.cookie_file = "/nonexistent/cookie";
  const TorControl none(with, "p", reactor);
  EXPECT_NE(until_failed(none).find("/nonexistent/cookie: No such file"), std::string::npos);
  with.cookie_file = "/dev/zero";
  const TorControl device(with, "p", reactor);
  EXPECT_NE(until_failed(device).find("no file of 32 octets"), std::string::npos);
}

TEST_F(TorControls, NeverAnswers) {
  server.silent = true;
  TorControlOptions with = options();
  with.timeout = 100ms;
  const TorControl control(with, "p", reactor);
  EXPECT_NE(until_failed(control).find("no answer within 100 ms"), std::string::npos);
  server.silent = false;
  ASSERT_TRUE(until_reachable(control));
  server.silent = true;
  EXPECT_NE(until_failed(control).find("no answer within 100 ms"), std::string::npos);
}

TEST_F(TorControls, AnEndlessLine) {
  server.hello = "250-" + std::string(100'000, 'x');
  const TorControl control(options(), "p", reactor);
  EXPECT_NE(until_failed(control).find("a line is too long"), std::string::npos);
}

TEST_F(TorControls, ThroughTheProxysStatusOnOneWorkerOnly) {
  server.hello = kHelloNull;
  SocksOptions with;
  with.name = "tor";
  with.tor = true;
  with.address = server.address();
  with.control = options();
  const auto proxy = make_socks(with, reactor);
  ASSERT_TRUE(proxy);
  ASSERT_TRUE(reactor.run_until([&] { return (*proxy)->status().tor->reachable; }));
  EXPECT_EQ((*proxy)->status().tor->version, "0.4.7.16");
  TestReactor second(1);
  const auto other = make_socks(with, second);
  ASSERT_TRUE(other);
  EXPECT_FALSE((*other)->status().tor);
}

}  // namespace
}  // namespace vtl::transport::test
