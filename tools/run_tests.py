#!/usr/bin/env python3
"""Builds and runs the tests: what `./dev test` does.

Presets and what each runs:
  dev   every suite, and lint; in a whole run without those that asan runs the same way (unit,
        script, property, fuzz)
  asan  unit, script, property, fuzz, netns (AddressSanitizer and UndefinedBehaviorSanitizer; the
        netns suite then drives the sanitised vtl program too, and takes less of the same)
  tsan  the unit tests of engine and transport, where the threads are

A build makes the programs that are run, and in dev everything else that is no test. While the tests
of one preset run, the next preset is built at low priority. Every googletest case counts as one test,
any other test program as one. The last line says how it went, build/test-summary.json in detail:
  {"passed": N, "failed": N, "skipped": N, "seconds": S,
   "suites": [{"preset": P, "suite": S, "passed": N, "failed": N, "skipped": N, "seconds": S}],
   "failures": [{"preset": P, "suite": S, "test": NAME}]}
Exit status 0 only when nothing failed and everything was built.
"""

import argparse
import collections
import concurrent.futures
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import time
import xml.etree.ElementTree as ElementTree

ROOT = pathlib.Path(__file__).resolve().parent.parent
SUITES = ["unit", "script", "property", "sim", "fuzz", "netns", "interop", "install"]
ENVIRONMENT = {
    "ASAN_OPTIONS": "detect_stack_use_after_return=1:strict_string_checks=1:abort_on_error=0",
    "UBSAN_OPTIONS": "print_stacktrace=1",
    "TSAN_OPTIONS": "halt_on_error=1:second_deadlock_stack=1:"
                    f"suppressions={ROOT}/tests/tsan.supp",
}
SYMBOLIZER = shutil.which("llvm-symbolizer-19") or shutil.which("llvm-symbolizer")
if SYMBOLIZER:  # else the sanitizers tell addresses
    ENVIRONMENT["ASAN_SYMBOLIZER_PATH"] = SYMBOLIZER
Plan = collections.namedtuple("Plan", "preset suites only parallel")
# What dev builds beside tests, so that nothing rots unbuilt.
PROGRAMS = {"vtl_program_vtl", "lab", "inject_data", "vtl-demo", "vtl-bench", "vtl-raw-udt", "vtl-socks-relay",
            "stream_rate", "micro_packet", "micro_endpoint", "wire_interop"}
SAME_IN_ASAN = ["unit", "script", "property", "fuzz"]
PLANS = [
    Plan("dev", SUITES, None, 2),
    Plan("asan", [*SAME_IN_ASAN, "netns"], None, 2),
    Plan("tsan", ["unit"], re.compile(r"unit_(engine|transport)$"), 2),
]


class Tally:
    """What passed, failed and was skipped, per preset and suite."""

    def __init__(self):
        self.rows = {}
        self.failures = []
        self.started = time.monotonic()

    def row(self, preset, suite):
        empty = {"preset": preset, "suite": suite,
                 "passed": 0, "failed": 0, "skipped": 0, "seconds": 0.0}
        return self.rows.setdefault((preset, suite), empty)

    def add(self, preset, suite, test, outcome, seconds=0.0):
        row = self.row(preset, suite)
        row[outcome] += 1
        row["seconds"] += seconds
        if outcome == "failed":
            self.failures.append({"preset": preset, "suite": suite, "test": test})

    def total(self, outcome):
        return sum(row[outcome] for row in self.rows.values())

    def finish(self):
        rows = [{**row, "seconds": round(row["seconds"], 1)} for row in self.rows.values()]
        summary = {outcome: self.total(outcome) for outcome in ("passed", "failed", "skipped")}
        summary["seconds"] = round(time.monotonic() - self.started, 1)
        summary["suites"] = rows
        summary["failures"] = self.failures
        path = ROOT / "build" / "test-summary.json"
        path.write_text(json.dumps(summary, indent=1) + "\n")
        print("\n%-6s %-9s %7s %7s %8s %9s"
              % ("preset", "suite", "passed", "failed", "skipped", "seconds"))
        for row in rows:
            print("%-6s %-9s %7d %7d %8d %9.1f" % (row["preset"], row["suite"], row["passed"],
                                                   row["failed"], row["skipped"], row["seconds"]))
        for failure in self.failures:
            print("FAILED %s %s: %s" % (failure["preset"], failure["suite"], failure["test"]))
        print("whole run: %d s; in detail: build/test-summary.json" % summary["seconds"])
        line = "%d passed, %d failed" % (summary["passed"], summary["failed"])
        if summary["skipped"]:
            line += ", %d skipped" % summary["skipped"]
        print(line, flush=True)
        return 1 if summary["failed"] else 0


def say(text):
    print("\n== " + text, flush=True)


def run(command, **options):
    return subprocess.run([str(part) for part in command], cwd=ROOT, **options)


def tests_of(preset):
    """The tests that ctest knows in this build: name (vtl_test: the program's too) and suite."""
    listing = run(["ctest", "--test-dir", f"build/{preset}", "--show-only=json-v1"],
                  check=True, capture_output=True, text=True)
    for test in json.loads(listing.stdout)["tests"]:
        labels = next((p["value"] for p in test["properties"] if p["name"] == "LABELS"), [])
        yield test["name"], labels[0] if labels else "unlabelled"


def namespace_wrapper():
    """As root nothing; else a user namespace in which network namespaces can be made."""
    if os.geteuid() == 0:
        return []
    wrapper = ["unshare", "--user", "--map-root-user", "--net", "--mount", "--",
               "sh", "-c", 'mount -t tmpfs tmpfs /run && ip link set lo up && exec "$@"', "sh"]
    probe = subprocess.run(wrapper + ["true"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return wrapper if probe.returncode == 0 else None


def known_targets(preset):
    listing = run(["ninja", "-C", f"build/{preset}", "-t", "targets", "all"],
                  check=True, capture_output=True, text=True).stdout
    return set(re.findall(r"^(\S+): phony$", listing, re.MULTILINE))


def targets_for(plan, chosen):
    """The programs of the `chosen` tests; in dev also the product, the lab and the experiments."""
    # A fuzz target's test is called fuzz_X, the program that replays it replay_X.
    programs = {re.sub("^fuzz_", "replay_", name) for name, _ in chosen}
    if any(suite == "netns" for _, suite in chosen):
        programs.add("vtl_program_vtl")
    if plan.preset == "dev":
        programs |= PROGRAMS
    return sorted(programs & known_targets(plan.preset))


def build(plan, chosen):
    """Builds what `chosen` tests need; tells how far it is, and all that was said if it fails."""
    targets = targets_for(plan, chosen)
    say(f"{plan.preset}: building {len(targets)} targets; all that is said: "
        f"build/{plan.preset}/build.log")
    log = ROOT / "build" / plan.preset / "build.log"
    with open(log, "w") as out:
        ninja = subprocess.Popen(["nice", "-n", "10", "ninja", "-C", f"build/{plan.preset}", "-k", "0",
                                  "-j", str(os.cpu_count()), *targets],
                                 cwd=ROOT, stdout=out, stderr=subprocess.STDOUT)
        while True:
            try:
                ninja.wait(timeout=30)
                break
            except subprocess.TimeoutExpired:
                steps = re.findall(r"^\[(\d+/\d+)\]", log.read_text(errors="replace"), re.MULTILINE)
                print(f"-- {plan.preset}: step {steps[-1] if steps else '0'}", flush=True)
    if ninja.returncode != 0:
        failures = re.findall(r"^FAILED:.*?(?=^\[\d+/\d+\]|\Z)", log.read_text(errors="replace"),
                              re.MULTILINE | re.DOTALL)
        print("\n".join(failures) or log.read_text(errors="replace"), file=sys.stderr, flush=True)
    return ninja.returncode == 0


def configure(preset):
    ninja = ROOT / "build" / preset / "build.ninja"
    presets = ROOT / "CMakePresets.json"
    if ninja.exists() and ninja.stat().st_mtime > presets.stat().st_mtime:
        # New files are found by building; the list of tests is read before that.
        return run(["ninja", "-C", f"build/{preset}", "build.ninja"],
                   stdout=subprocess.DEVNULL).returncode == 0
    return run(["cmake", "--preset", preset], stdout=subprocess.DEVNULL).returncode == 0


def read_cases(path):
    """The cases of one googletest report: name, outcome, seconds."""
    for case in ElementTree.parse(path).iter("testcase"):
        name = case.get("classname", "") + "." + case.get("name", "")
        if case.find("failure") is not None:
            outcome = "failed"
        elif case.find("skipped") is not None or case.get("status") == "notrun":
            outcome = "skipped"
        else:
            outcome = "passed"
        yield name, outcome, float(case.get("time", 0))


def collect(plan, chosen, junit, reports, tally):
    """Adds the run's results: googletest's own reports where there are, ctest's word otherwise."""
    ran = {}
    if junit.exists():
        ran = {case.get("name"): case for case in ElementTree.parse(junit).iter("testcase")}
    for name, suite in chosen:
        case = ran.get(name)
        status = case.get("status") if case is not None else "missing"
        report = reports / (name + ".xml")
        failed_cases = 0
        if report.exists():
            for test, outcome, seconds in read_cases(report):
                tally.add(plan.preset, suite, f"{name}: {test}", outcome, seconds)
                failed_cases += outcome == "failed"
        if status == "run":
            if not report.exists():
                tally.add(plan.preset, suite, name, "passed", float(case.get("time", 0)))
        elif status in ("disabled", "notrun") and case.find("skipped") is not None:
            tally.add(plan.preset, suite, name, "skipped")
        elif failed_cases == 0:
            tally.add(plan.preset, suite, f"{name} ({status})", "failed")


Built = collections.namedtuple("Built", "plan suites chosen ok seconds problem")


def prepare(plan, suites):
    """Configures and builds one preset."""
    started = time.monotonic()
    if not configure(plan.preset):
        return Built(plan, suites, [], False, 0, "cmake --preset " + plan.preset)
    chosen = [test for test in tests_of(plan.preset)
              if test[1] in suites and (plan.only is None or plan.only.match(test[0]))]
    ok = build(plan, chosen)
    return Built(plan, suites, chosen, ok, time.monotonic() - started,
                 "build of preset " + plan.preset)


def run_built(built, wrapper, tally):
    """Runs what prepare() has built."""
    plan, chosen = built.plan, built.chosen
    tally.row(plan.preset, "build")["seconds"] = built.seconds
    tally.add(plan.preset, "build", built.problem, "passed" if built.ok else "failed")
    if not built.ok or not chosen:
        return
    reports = ROOT / "build" / plan.preset / "test-reports"
    shutil.rmtree(reports, ignore_errors=True)
    reports.mkdir(parents=True)
    junit = reports / "ctest-junit.xml"
    say(f"{plan.preset}: running {len(chosen)} test programs ({' '.join(built.suites)})")
    names = "^(" + "|".join(re.escape(name) for name, _ in chosen) + ")$"
    command = wrapper + ["ctest", "--test-dir", f"build/{plan.preset}", "--output-on-failure",
                         "-j", plan.parallel, "-R", names, "--output-junit", junit]
    run(command, env={**os.environ, **ENVIRONMENT, "GTEST_OUTPUT": f"xml:{reports}/",
                      "GTEST_BRIEF": "1"})
    collect(plan, chosen, junit, reports, tally)


def run_plans(work, wrapper, tally):
    """Runs the tests of each preset while the next one is built."""
    with concurrent.futures.ThreadPoolExecutor(max_workers=1) as builder:
        for built in [builder.submit(prepare, plan, suites) for plan, suites in work]:
            run_built(built.result(), wrapper, tally)


def run_lint(tally):
    say("lint")
    started = time.monotonic()
    results = ROOT / "build" / "lint.json"
    results.unlink(missing_ok=True)
    run([sys.executable, "tools/lint.py", "--json", results])
    tally.row("dev", "lint")["seconds"] = time.monotonic() - started
    if not results.exists():
        tally.add("dev", "lint", "lint", "failed")
        return
    for check, problems in json.loads(results.read_text()).items():
        tally.add("dev", "lint", check, "failed" if problems else "passed")


def main():
    parser = argparse.ArgumentParser(prog="./dev test", description=__doc__.split("\n")[0])
    parser.add_argument("--quick", action="store_true",
                        help="preset dev only, and without netns, interop and install")
    parser.add_argument("--preset", choices=[plan.preset for plan in PLANS],
                        help="this preset only")
    parser.add_argument("suite", nargs="*", metavar="SUITE", help=" ".join([*SUITES, "lint"]))
    arguments = parser.parse_args()
    unknown = [suite for suite in arguments.suite if suite not in [*SUITES, "lint"]]
    if unknown:
        parser.error(f"no suite {unknown[0]!r}; there are: {' '.join([*SUITES, 'lint'])}")

    wanted = arguments.suite or [*SUITES, "lint"]
    if arguments.quick and not arguments.suite:
        wanted = [suite for suite in wanted if suite not in ("netns", "interop", "install")]
    only = "dev" if arguments.quick else arguments.preset
    wrapper = namespace_wrapper()
    if wrapper is None:
        print("dev: user namespaces are not allowed here, so tests that need root will fail; "
              "run as root, or: sysctl -w kernel.unprivileged_userns_clone=1", file=sys.stderr)
    tally = Tally()
    if "lint" in wanted and only in (None, "dev"):
        run_lint(tally)
    whole = not arguments.suite and only is None
    work = []
    for plan in PLANS:
        suites = [suite for suite in plan.suites if suite in wanted
                  and not (whole and plan.preset == "dev" and suite in SAME_IN_ASAN)]
        if suites and only in (None, plan.preset):
            work.append((plan, suites))
    run_plans(work, wrapper or [], tally)
    return tally.finish()


if __name__ == "__main__":
    sys.exit(main())
