// Stories of TCP connections that play both ends, and in what conntrack differs from TcpModel in
// them: material of model_conntrack.cc.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "vtl/model/end.h"
#include "vtl/wire/tcp.h"

namespace vtl::test {

using model::End;
using wire::TcpFlags;

// ---- What conntrack sees differently, and why the model is as it is.

enum class Differs : std::uint8_t {
  kNot,
  /// Any segment with an ACK after a FIN moves conntrack on (CLOSE_WAIT, TIME_WAIT after the second
  /// FIN); the model waits for one that acknowledges the FIN, as its sender does.
  kAnyAckForAFin,
  /// A FIN sent again by the same end counts for conntrack as the other end's; it is a step ahead
  /// from then on.
  kRepeatedFin,
  /// Conntrack forgets a connection at once when its opener has had no answer but the reset.
  kForgotten,
  /// Simultaneous open: conntrack waits for a plain ACK; for RFC 9293 (3.10.7.4) the SYN,ACK that
  /// acknowledges the SYN is enough.
  kSynAckOpens,
  /// A reset that lies between what its receiver has acknowledged and what its sender has sent: the
  /// receiver waits somewhere there, and the model takes it to be where. Conntrack acts on the two
  /// ends of that range only.
  kResetBetween,
  // The state is the same, but only one of the two lets the segment count:
  /// A reset in the window but not where the receiver waits: the model does not follow it,
  /// conntrack calls it valid and does not act on it.
  kResetInWindow,
  /// A SYN in an open connection: conntrack lets the opener's through, to see the answer first.
  kSynInOpen,
  /// An answer to a SYN that does not acknowledge it, of an old connection mostly: the opener
  /// resets that and waits on (RFC 9293, 3.10.7.3), and so does the model. Conntrack takes a
  /// SYN,ACK that is up to 66,000 octets off, and the opener's reset for the end of the new
  /// connection; of the next one it then waits for the answer to the SYN.
  kWrongAnswer,
  /// A segment that begins within the window and ends beyond it.
  kAcrossTheEdge,
};

using enum Differs;

inline constexpr const char* kDiffersNames[] = {
    "nothing",       "any ack for a fin", "repeated fin", "forgotten",    "syn,ack opens",
    "reset between", "reset in window",   "syn in open",  "wrong answer", "across the edge"};
inline std::string name(Differs differs) {
  return kDiffersNames[static_cast<std::size_t>(differs)];
}

// ---- Stories that play both ends.

struct Say {
  End from;
  std::uint8_t flags;
  std::uint32_t seq, ack = 0;
  std::size_t payload = 0;
  Differs differs = Differs::kNot;
  std::uint16_t window = 20000;
};

struct Story {
  const char* name;
  std::vector<Say> says;
};

inline constexpr std::uint8_t kSyn = TcpFlags::kSyn, kAck = TcpFlags::kAck, kRst = TcpFlags::kRst;
inline constexpr std::uint8_t kSynAck = kSyn | kAck, kFinAck = TcpFlags::kFin | kAck;
inline constexpr End A = End::kA, B = End::kB;

// A's numbers begin at 1000, B's at 5000.
inline std::vector<Say> opened(std::vector<Say> more) {
  std::vector<Say> all{{A, kSyn, 1000}, {B, kSynAck, 5000, 1001}, {A, kAck, 1001, 5001}};
  all.insert(all.end(), more.begin(), more.end());
  return all;
}
inline std::vector<Say> closed(std::vector<Say> more) {
  std::vector<Say> all{{A, kFinAck, 1001, 5001}, {B, kFinAck, 5001, 1002}, {A, kAck, 1002, 5002}};
  all.insert(all.end(), more.begin(), more.end());
  return opened(all);
}

inline const std::vector<Story>& stories() {
  static const std::vector<Story> kStories{
      {"closed by A", opened({{A, kAck, 1001, 5001, 100},
                              {B, kAck, 5001, 1101, 200},
                              {A, kAck, 1101, 5201},
                              {A, kFinAck, 1101, 5201},
                              {B, kAck, 5201, 1102},
                              {B, kFinAck, 5201, 1102},
                              {A, kAck, 1102, 5202}})},
      {"closed by B", opened({{B, kFinAck, 5001, 1001},
                              {A, kAck, 1001, 5002},
                              {A, kFinAck, 1001, 5002},
                              {B, kAck, 5002, 1002}})},
      {"fin answers fin",
       opened({{A, kFinAck, 1001, 5001}, {B, kFinAck, 5001, 1002}, {A, kAck, 1002, 5002}})},
      {"half closed by A", opened({{A, kFinAck, 1001, 5001},
                                   {B, kAck, 5001, 1002},
                                   {B, kAck, 5001, 1002, 500},
                                   {A, kAck, 1002, 5501},
                                   {B, kFinAck, 5501, 1002},
                                   {A, kAck, 1002, 5502}})},
      {"half closed by A, data on the way", opened({{A, kFinAck, 1001, 5001},
                                                    {B, kAck, 5001, 1001, 500, kAnyAckForAFin},
                                                    {A, kAck, 1002, 5501, 0, kAnyAckForAFin},
                                                    {B, kAck, 5501, 1002},
                                                    {B, kFinAck, 5501, 1002},
                                                    {A, kAck, 1002, 5502}})},
      {"closed by both at once", opened({{A, kFinAck, 1001, 5001},
                                         {B, kFinAck, 5001, 1001},
                                         {A, kAck, 1002, 5002, 0, kAnyAckForAFin},
                                         {B, kAck, 5002, 1002}})},
      {"a fin repeated", opened({{A, kFinAck, 1001, 5001},
                                 {A, kFinAck, 1001, 5001, 0, kRepeatedFin},
                                 {B, kAck, 5001, 1002, 0, kRepeatedFin},
                                 {B, kFinAck, 5001, 1002, 0, kRepeatedFin},
                                 {B, kFinAck, 5001, 1002, 0, kRepeatedFin},
                                 {A, kAck, 1002, 5002},
                                 {A, kAck, 1002, 5002}})},
      {"the second fin repeated", opened({{A, kFinAck, 1001, 5001},
                                          {B, kAck, 5001, 1002},
                                          {B, kFinAck, 5001, 1002},
                                          {B, kFinAck, 5001, 1002},
                                          {A, kAck, 1002, 5002}})},
      {"data crosses the fin", opened({{B, kAck, 5001, 1001, 100},
                                       {B, kFinAck, 5101, 1001},
                                       {A, kAck, 1001, 5001, 50, kAnyAckForAFin},
                                       {A, kAck, 1051, 5102}})},
      {"refused", {{A, kSyn, 1000}, {B, kRst | kAck, 0, 1001, 0, kForgotten}}},
      {"syn repeated, then given up",
       {{A, kSyn, 1000}, {A, kSyn, 1000}, {A, kRst, 1001, 0, 0, kForgotten}}},
      {"syn ack repeated",
       {{A, kSyn, 1000},
        {B, kSynAck, 5000, 1001},
        {B, kSynAck, 5000, 1001},
        {A, kSyn, 1000},
        {A, kAck, 1001, 5001}}},
      {"syn of another number",
       {{A, kSyn, 1000}, {A, kSyn, 70000}, {B, kSynAck, 5000, 70001}, {A, kAck, 70001, 5001}}},
      {"syn ack of a wrong number",
       {{A, kSyn, 1000},
        {B, kSynAck, 5000, 900, 0, kWrongAnswer},
        {A, kRst, 900, 0, 0, kWrongAnswer}}},
      {"opened by both at once",
       {{A, kSyn, 1000},
        {B, kSyn, 5000},
        {A, kSynAck, 1000, 5001},
        {B, kSynAck, 5000, 1001, 0, kSynAckOpens},
        {A, kAck, 1001, 5001}}},
      {"reset by A", opened({{A, kRst, 1001}})},
      {"reset by B", opened({{A, kAck, 1001, 5001, 100}, {B, kRst | kAck, 5001, 1101}})},
      {"reset by A in syn-received", {{A, kSyn, 1000}, {B, kSynAck, 5000, 1001}, {A, kRst, 1001}}},
      {"reset half closed",
       opened({{A, kFinAck, 1001, 5001}, {B, kAck, 5001, 1002}, {B, kRst | kAck, 5001, 1002}})},
      {"reset after time wait", closed({{B, kRst, 5002}})},
      {"keep alive", opened({{A, kAck, 1000, 5001},
                             {B, kAck, 5001, 1001},
                             {B, kAck, 5000, 1001, 1},
                             {A, kAck, 1001, 5001}})},
      {"probe of a closed window", opened({{B, kAck, 5001, 1001, 0, kNot, 0},
                                           {A, kAck, 1001, 5001, 1},
                                           {B, kAck, 5001, 1001, 0, kNot, 0},
                                           {B, kAck, 5001, 1002}})},
      {"data repeated", opened({{A, kAck, 1001, 5001, 100},
                                {A, kAck, 1001, 5001, 100},
                                {B, kAck, 5001, 1101},
                                {A, kAck, 1001, 5001, 100}})},
      {"overtaken",
       opened({{A, kAck, 1101, 5001, 100}, {A, kAck, 1001, 5001, 100}, {B, kAck, 5001, 1201}})},
      {"blind reset in the window", opened({{B, kAck, 5001, 1001, 100},
                                            {B, kRst, 5301, 0, 0, kResetInWindow},
                                            {A, kAck, 1001, 5101},
                                            {A, kRst, 1301, 0, 0, kResetInWindow},
                                            {B, kAck, 5101, 1001}})},
      {"blind reset beyond the window", opened({{B, kRst, 95001}, {A, kAck, 1001, 5001}})},
      {"blind reset before the window", opened({{B, kAck, 5001, 1001, 1000},
                                                {A, kAck, 1001, 6001},
                                                {B, kRst, 5501},
                                                {A, kAck, 1001, 6001}})},
      {"reset behind data on its way", opened({{A, kAck, 1001, 5001, 1000}, {A, kRst, 2001}})},
      {"reset between acknowledged and sent",
       opened({{A, kAck, 1001, 5001, 1000}, {A, kRst, 1501, 0, 0, kResetBetween}})},
      {"reset behind data that has arrived",
       opened({{A, kAck, 1001, 5001, 1000}, {B, kAck, 5001, 2001}, {A, kRst, 2001}})},
      {"blind ack of what was never sent",
       opened({{B, kAck, 5001, 90001}, {B, kAck, 5001, 1002}, {A, kAck, 1001, 5001}})},
      {"blind ack of long ago", opened({{B, kAck, 5001, 0xfffcf6a9}, {A, kAck, 1001, 5001}})},
      {"blind data beyond the window", opened({{A, kAck, 61001, 5001, 100},
                                               {A, kAck, 21001, 5001, 1},
                                               {A, kAck, 21001, 5001, 100, kAcrossTheEdge},
                                               {A, kAck, 20001, 5001, 1000}})},
      {"blind syn",
       opened({{A, kSyn, 1500, 0, 0, kSynInOpen}, {B, kSyn, 5500}, {A, kAck, 1001, 5001}})},
      {"blind fin beyond the window", opened({{A, kFinAck, 61001, 5001}, {A, kAck, 1001, 5001}})},
      {"ports used again in time wait",
       closed({{A, kSyn, 2000}, {B, kSynAck, 9000, 2001}, {A, kAck, 2001, 9001}})},
      {"an old ack meets the ports used again", closed({{A, kSyn, 2000},
                                                        {B, kAck, 5002, 1002, 0, kWrongAnswer},
                                                        {A, kRst, 1002, 0, 0, kWrongAnswer},
                                                        {A, kSyn, 2000},
                                                        {B, kSynAck, 9000, 2001},
                                                        {A, kAck, 2001, 9001}})},
      {"an old ack meets the ports used again, and its reset the answer",
       closed({{A, kSyn, 2000},
               {B, kAck, 5002, 1002, 0, kWrongAnswer},
               {A, kRst, 1002, 0, 0, kWrongAnswer},
               {B, kSynAck, 9000, 2001, 0, kWrongAnswer},
               {A, kAck, 2001, 9001, 0, kWrongAnswer},
               {A, kAck, 2001, 9001, 100, kWrongAnswer}})},
      {"an old ack, its reset, and the ports used once more",
       closed({{A, kSyn, 2000},
               {B, kAck, 5002, 1002, 0, kWrongAnswer},
               {A, kRst, 1002, 0, 0, kWrongAnswer},
               {B, kSynAck, 9000, 2001, 0, kWrongAnswer},
               {A, kAck, 2001, 9001, 0, kWrongAnswer},
               {B, kFinAck, 9001, 2001, 0, kWrongAnswer},
               {A, kAck, 2001, 9002, 0, kWrongAnswer},
               {A, kFinAck, 2001, 9002, 0, kWrongAnswer},
               {B, kAck, 9002, 2002, 0, kWrongAnswer},
               {A, kSyn, 3000, 0, 0, kWrongAnswer},
               {B, kSynAck, 12000, 3001},
               {A, kAck, 3001, 12001},
               {A, kAck, 3001, 12001, 100}})},
      {"ports used again after a reset",
       opened({{A, kRst, 1001}, {A, kSyn, 2000}, {B, kSynAck, 9000, 2001}, {A, kAck, 2001, 9001}})},
      {"ports used again after a refusal",
       {{A, kSyn, 1000},
        {B, kRst | kAck, 0, 1001, 0, kForgotten},
        {A, kSyn, 2000},
        {B, kSynAck, 9000, 2001},
        {A, kAck, 2001, 9001}}},
      {"met in the middle",
       {{A, kAck, 1001, 5001, 100},
        {B, kAck, 5001, 1101},
        {B, kFinAck, 5001, 1101},
        {A, kAck, 1101, 5002},
        {A, kFinAck, 1101, 5002},
        {B, kAck, 5002, 1102}}},
  };
  return kStories;
}

}  // namespace vtl::test
