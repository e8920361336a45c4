#include "vtl/control/protocol.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

namespace vtl::control {
namespace {

std::string error_of(std::string_view line) {
  const auto request = parse_request(line);
  return request ? "accepted" : request.error().message;
}

TEST(Protocol, ARequestReadsBackAsItWasWritten) {
  Request request{.command = Request::Command::kDump,
                  .dump = {.link = "vm \"1\"", .boundary = 2, .snap_length = 96, .filter = "tcp"}};
  auto line = format_request(request);
  ASSERT_EQ(line.back(), '\n');
  line.pop_back();
  const auto parsed = parse_request(line);
  ASSERT_TRUE(parsed) << parsed.error().message;
  EXPECT_EQ(parsed->command, Request::Command::kDump);
  EXPECT_EQ(parsed->dump.link, "vm \"1\"");
  EXPECT_EQ(parsed->dump.boundary, 2U);
  EXPECT_EQ(parsed->dump.snap_length, 96U);
  EXPECT_EQ(parsed->dump.filter, "tcp");
}

TEST(Protocol, AnActionSurvivesTheWire) {
  Request request{.command = Request::Command::kAct};
  request.act = {.link = "vm1", .service = "anonymizer", .action = "new-identity"};
  std::string line = format_request(request);
  ASSERT_EQ(line.back(), '\n');
  line.pop_back();
  const auto parsed = parse_request(line);
  ASSERT_TRUE(parsed) << parsed.error().message;
  EXPECT_EQ(parsed->command, Request::Command::kAct);
  EXPECT_EQ(parsed->act.link, "vm1");
  EXPECT_EQ(parsed->act.service, "anonymizer");
  EXPECT_EQ(parsed->act.action, "new-identity");
}

TEST(Protocol, WhatIsNoRequestIsRefusedWithTheReason) {
  EXPECT_EQ(error_of(""), "the request is not one flat JSON object");
  EXPECT_EQ(error_of("[]"), "the request is not one flat JSON object");
  EXPECT_EQ(error_of(R"({"command":{"a":[]}})"), "the request is not one flat JSON object");
  EXPECT_EQ(error_of("{}"), "the request has no \"command\"");
  EXPECT_EQ(error_of(R"({"command":7})"), "the request has no \"command\"");
  EXPECT_EQ(error_of(R"({"command":"reboot"})"),
            "no command 'reboot'; there are: status flows stats dump act stop");
  EXPECT_EQ(error_of(R"({"command":"act","link":"a","action":"b"})"),
            "act needs \"service\", a word");
  EXPECT_EQ(error_of(R"({"command":"act","link":"a","service":"b","action":7})"),
            "act needs \"action\", a word");
  EXPECT_EQ(error_of(R"({"command":"dump"})"), "dump needs \"link\", the name of a link");
  EXPECT_EQ(error_of(R"({"command":"dump","link":"a","boundary":-1})"),
            "\"boundary\" must be a whole number from 0 (the guest) up");
  EXPECT_EQ(error_of(R"({"command":"dump","link":"a","snap_length":1})"),
            "\"snap_length\" must be a whole number from 64 to 65535");
  EXPECT_EQ(error_of(std::string(kMaxRequest + 1, ' ')), "the request is longer than 4096 octets");
}

TEST(Protocol, NestingWithoutEndIsRefusedWithoutRecursing) {
  EXPECT_EQ(error_of(std::string(kMaxRequest, '[')), "the request is not one flat JSON object");
}

TEST(Protocol, ResponsesTellResultOrError) {
  EXPECT_EQ(parse_response(success_line(R"({"a":1})")).value(), R"({"a":1})");
  EXPECT_EQ(parse_response(failure_line("no \"link\"")).error().message, "no \"link\"");
  EXPECT_FALSE(parse_response("HTTP/1.1 400 Bad Request").has_value());
  for (const char* strange : {R"({"ok":false})", R"({"ok":false,"error":1})",
                              R"({"ok":false,"error":{"a":[]}})", R"({"ok":false,"error":""})"}) {
    EXPECT_EQ(parse_response(strange).error().message, "refused without a reason") << strange;
  }
}

TEST(Protocol, AnAnswerWithoutEndOfNestingIsRefusedWithoutRecursing) {
  constexpr std::size_t kDeep = 1'000'000;
  const auto deep = std::string(kDeep, '[') + std::string(kDeep, ']');
  EXPECT_FALSE(parse_response(success_line(deep)).has_value());
}

RC_GTEST_PROP(Protocol, NoOctetsMakeTheParsersFail, (const std::string& text)) {
  (void)parse_request(text);
  (void)parse_response(text);
  // What a client reports is valid JSON whatever it contains.
  RC_ASSERT(!parse_response(failure_line(text)).has_value());
}

}  // namespace
}  // namespace vtl::control
