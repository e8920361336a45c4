// The `lab` program, as a person at a terminal uses it.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "lab/lab.h"
#include "lab/must.h"
#include "lab/process.h"

namespace vtl::lab {
namespace {

using testing::AllOf;
using testing::HasSubstr;

Process run_lab(std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), VTL_BINARY_DIR "/bin/lab");
  Process process = must(Process::start({.argv = std::move(arguments)}, default_folder()));
  must(process.wait(30s));
  return process;
}

Exit exit_of(Process& process) {
  return must(process.wait(1s));
}

TEST(LabProgram, ShellRunsACommandInTheTopologyAndEndsAsItDoes) {
  Process lab = run_lab({"shell", "-c", "on client ping -c 1 10.0.0.2 && exit 5"});
  EXPECT_THAT(lab.output(), HasSubstr("1 received"));
  EXPECT_EQ(exit_of(lab).code, 5);
}

TEST(LabProgram, ShellOnATerminalExplainsItself) {
  Process lab = must(Process::start(
      {.argv = {"script", "-qec", VTL_BINARY_DIR "/bin/lab shell -t routed", "/dev/null"},
       .environment = {{"HOME", "/nowhere"}},
       .input_from = Input::kPipe},
      default_folder()));
  must(lab.wait_for_line("All of it vanishes", 20s));
  must(lab.write_input("on server ip -brief addr show eth0\nexit 4\n"));
  EXPECT_EQ(must(lab.wait(20s)).code, 4) << lab.output();
  EXPECT_THAT(lab.output(),
              AllOf(HasSubstr("routerA"), HasSubstr("(lab)"), HasSubstr("10.2.0.2/24")));
}

TEST(LabProgram, RunTakesTheProgramsExitStatus) {
  Process lab = run_lab(
      {"run", "-t", "routed", "client", "--", "sh", "-c", "ip -4 -brief addr show eth0; exit 3"});
  EXPECT_THAT(lab.output(), HasSubstr("10.1.0.1/24"));
  EXPECT_EQ(exit_of(lab).code, 3);
}

TEST(LabProgram, UnknownHost_ListsTheOnesThereAre) {
  Process lab = run_lab({"run", "nowhere", "--", "true"});
  EXPECT_EQ(exit_of(lab).code, 1);
  EXPECT_THAT(lab.errors(), HasSubstr("no host 'nowhere' here; there are: client, hostA"));
}

TEST(LabProgram, HostsAreListedForPeopleAndPrograms) {
  Process text = run_lab({"hosts", "--not-joined"});
  EXPECT_THAT(text.output(), HasSubstr("hostA    wan0    02:00:00:00:00:03  mtu 1500  10.0.0.101"));
  Process json = run_lab({"hosts", "--mtu", "9000", "--json"});
  EXPECT_THAT(json.output(), HasSubstr("\"mtu\": 9000"));
}

TEST(LabProgram, DoctorFindsWhatTheseTestsStandOn) {
  Process text = run_lab({"doctor"});
  EXPECT_EQ(exit_of(text).code, 0) << text.output();
  EXPECT_THAT(text.output(), testing::ContainsRegex("ok +veth"));
  Process json = run_lab({"doctor", "--json"});
  EXPECT_THAT(json.output(), HasSubstr("\"name\": \"sandbox\""));
}

}  // namespace
}  // namespace vtl::lab
