#!/usr/bin/env python3
"""The tree's rules, checked: what `./dev lint` does.

Each check is a function that yields one line per problem. `--only NAME` runs one, `--json FILE`
writes {check: [problem...]}, `--tidy [FILE...]` runs clang-tidy on those files (on all when none
is named) after the checks. Exit status 0 when no check found anything.
"""

import argparse
import ast
import json
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent

# Which rooms of vtl/ a room may include: DESIGN, docs/architecture.md. A room may include itself.
ARROWS = {
    "base": [],
    "wire": ["base"],
    "packet": ["wire", "base"],
    "model": ["wire", "base"],
    "endpoint": ["model", "wire", "base"],
    "iface": ["packet", "wire", "base"],
    "transport": ["wire", "base"],
    "engine": ["iface", "transport", "packet", "wire", "base"],
    "service": ["engine", "endpoint", "model", "packet", "wire", "base"],
    "config": ["service", "engine", "transport", "iface", "packet", "wire", "base"],
    "control": ["service", "engine", "transport", "iface", "packet", "wire", "base"],
}
# A service sees interfaces and transports through their contracts only.
SERVICE_MAY_INCLUDE = {"vtl/iface/interface.h", "vtl/transport/transport.h", "vtl/transport/proxy.h",
                       "vtl/transport/failover.h"}
# These rooms make no system call, read no clock, draw no random number and start no thread.
PURE_ROOMS = {"wire", "model", "endpoint"}
IMPURE_INCLUDES = re.compile(
    r"#include <(sys/|unistd\.h|poll\.h|fcntl\.h|time\.h|ctime|random|thread|mutex|condition_variable|future)")
IMPURE_CALLS = re.compile(r"(_clock::now\(|\bstd::rand\(|\bgetrandom\(|\bClockSource\b|\bgetenv\()")

FILE_LINES_ASK = 600
FILE_LINES_MOST = 800
FORBIDDEN = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b|DISABLED_|/home/")
SLEEP = re.compile(r"\bsleep_for\(|\busleep\(|\bnanosleep\(")
# Tests wait for a state, the product for an event. The lab and the experiments may look again.
SLEEPLESS = ("vtl/", "tests/", "examples/")
# lint itself names what it forbids.
FORBIDDEN_EXEMPT = {"tools/lint.py"}


def tracked(*patterns):
    """Files of the tree that match, as paths relative to it; new ones that git ignores not."""
    command = ["git", "ls-files", "-co", "--exclude-standard", "--", *patterns]
    listing = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if listing.returncode == 0:
        names = listing.stdout.splitlines()
    else:  # not a checkout: an unpacked archive
        names = [str(path.relative_to(ROOT)) for pattern in patterns
                 for path in ROOT.rglob(pattern) if "build" not in path.parts]
    return sorted({name for name in names if (ROOT / name).is_file()})


def lines_of(name):
    return (ROOT / name).read_text(errors="replace").splitlines()


def check_format():
    """clang-format-19 would change nothing."""
    for name in tracked("*.cc", "*.h"):
        result = subprocess.run(["clang-format-19", "--dry-run", name], cwd=ROOT,
                                capture_output=True, text=True)
        if result.stderr or result.returncode:
            line = result.stderr.splitlines()[0] if result.stderr else name
            yield line.split(" warning:")[0].rstrip(":") + ": not formatted; run ./dev fmt"


def check_arrows():
    """Includes point toward base only."""
    for name in tracked("vtl/*.h", "vtl/*.cc", "lab/*.h", "lab/*.cc", "bench/*.h", "bench/*.cc",
                        "examples/*.h", "examples/*.cc"):
        parts = name.split("/")
        room = parts[1] if parts[0] == "vtl" else parts[0]
        for number, line in enumerate(lines_of(name), 1):
            match = re.match(r'\s*#include "([^"]+)"', line)
            if not match or match.group(1).endswith(".inc"):  # made by the build
                continue
            target = match.group(1)
            where = f"{name}:{number}: "
            if not re.match(r"(vtl|lab|bench|examples|tests)/", target):
                yield where + f'include "{target}" by its path from the root of the tree'
                continue
            if parts[0] == "vtl" and not target.startswith("vtl/"):
                yield where + f"the product may not include {target}"
                continue
            other = target.split("/")[1]
            if target.startswith("vtl/") and other == "cli" and room != "cli":
                yield where + f"nothing may include cli ({target})"
            if room not in ARROWS or other == room:
                continue
            if room == "service" and other in ("iface", "transport"):
                if target not in SERVICE_MAY_INCLUDE:
                    yield where + f"a service names no concrete {other}: {target}"
            elif other not in ARROWS[room]:
                yield where + f"{room} may not include {other} ({target})"


def check_purity():
    """wire, model and endpoint: no system call, no clock, no random number, no thread."""
    for name in tracked("vtl/*.h", "vtl/*.cc"):
        if name.split("/")[1] not in PURE_ROOMS:
            continue
        for number, line in enumerate(lines_of(name), 1):
            code = line.split("//")[0]
            if IMPURE_INCLUDES.search(code) or IMPURE_CALLS.search(code):
                yield f"{name}:{number}: {code.strip()}: this room does no I/O and reads no clock"


def check_file_length():
    """No file of code over 800 lines; from 600 on a note."""
    for name in tracked("*.cc", "*.h", "*.py", "*.sh", "*.cmake"):
        count = len(lines_of(name))
        if count > FILE_LINES_MOST:
            yield f"{name}: {count} lines, at most {FILE_LINES_MOST}: split it by concern"
        elif count > FILE_LINES_ASK:
            print(f"note: {name}: {count} lines, worth a split by concern")


def check_headers():
    """A header begins with what the thing is, then #pragma once."""
    for name in tracked("vtl/*.h", "lab/*.h", "bench/*.h", "tests/*.h", "examples/*.h"):
        lines = lines_of(name)
        if not lines or not lines[0].startswith("// "):
            yield f"{name}:1: begin with a comment that says what this is"
        if sum(line == "#pragma once" for line in lines) != 1:
            yield f"{name}:1: needs #pragma once"


def test_names():
    """Every googletest case of the tree as Suite.Name."""
    names = set()
    macro = re.compile(r"(?:TEST|TEST_F|TEST_P|STORY|ENDPOINT_STORY|RC_GTEST_PROP|RC_GTEST_FIXTURE_PROP)"
                       r"\(\s*(\w+)\s*,\s*(\w+)")
    # A macro that makes several of one: #define EACH(group, event, ...) STORY(group, State_##event)
    family = re.compile(r"#define (\w+)\((\w+), (\w+)[^)]*\)((?:.*\\\n)+.*)")
    for name in tracked("tests/*.cc"):
        text = (ROOT / name).read_text()
        for suite, case in macro.findall(text):
            names.add(f"{suite}.{case}")
        for each, group, event, body in family.findall(text):
            states = re.findall(rf"STORY\({group}, (\w+)##{event}\)", body)
            for suite, case in re.findall(rf"^{each}\(\s*(\w+)\s*,\s*(\w+)", text, re.M):
                names.update(f"{suite}.{state}{case}" for state in states)
    return names


# How many requirements of each kind appendix B of RFC 9293 lists.
REQUIREMENTS = {"MUST": 69, "SHLD": 31, "MAY": 18, "REC": 1}


def requirements_told(text):
    """The requirements that a text names: MUST-1; MAY-15 and 16; MUST-24 to 29; SHLD-9, 10."""
    told = set()
    for kind, first, more in re.findall(r"\b(MUST|SHLD|MAY|REC)-(\d+)((?:(?:,| to| and) \d+\b)*)", text):
        last = int(first)
        told.add((kind, last))
        for joint, number in re.findall(r"(,| to| and) (\d+)", more):
            told.update((kind, n) for n in range(last + 1 if joint == " to" else int(number),
                                                 int(number) + 1))
            last = int(number)
    return told


def check_rfc_table():
    """Every test that docs/rfc.md names exists, and every requirement of RFC 9293 has a row."""
    path = ROOT / "docs" / "rfc.md"
    if not path.exists():
        return
    known = test_names()
    for number, line in enumerate(path.read_text().splitlines(), 1):
        if not line.startswith("|"):
            continue
        for name in re.findall(r"`([A-Z]\w+\.\w+)`", line):
            if name not in known:
                yield f"docs/rfc.md:{number}: no test is called {name}"
    rows = "\n".join(line for line in path.read_text().splitlines() if line.startswith("|"))
    told = requirements_told(rows)
    for kind, count in REQUIREMENTS.items():
        for number in range(1, count + 1):
            if (kind, number) not in told:
                yield f"docs/rfc.md: {kind}-{number} of RFC 9293 has no row"


def check_documented_commands():
    """Each ./dev or vtl command that the documents show is covered by a test.

    A test says so with a line `covers: ./dev fmt` or `covers: vtl run` in a comment.
    """
    covered = set()
    for name in tracked("tests/*"):
        for group in re.findall(r"covers: (.+)", (ROOT / name).read_text(errors="replace")):
            covered.update(command.strip() for command in group.split(","))
    # A command stands at the beginning of a line or of `code`, perhaps behind a prompt or a pipe.
    shown = re.compile(r"(?:^|[`|;])\s*(?:[$#] |sudo )?(\./dev|(?:[\w./]+/)?vtl) ([a-z]+)(?=[\s`]|$)")
    for name in ["README.md", *tracked("docs/*.md")]:
        path = ROOT / name
        if not path.exists():
            continue
        code_block = False
        for number, line in enumerate(path.read_text().splitlines(), 1):
            if line.startswith("```"):
                code_block = not code_block
            text = line if code_block else " ".join(re.findall(r"`[^`]*`", line))
            for program, command in shown.findall(text):
                full = f"{program.split('/')[-1] if program != './dev' else program} {command}"
                if full not in covered:
                    yield f"{name}:{number}: no test says `covers: {full}`"


def check_forbidden_words():
    """No unfinished business, no sleeping tests, no disabled tests, no private paths."""
    for name in tracked("*"):
        if name in FORBIDDEN_EXEMPT or name.startswith("tests/fuzz/corpus/") or name == "LICENSE":
            continue
        for number, line in enumerate(lines_of(name), 1):
            match = FORBIDDEN.search(line)
            if match is None and name.startswith(SLEEPLESS):
                match = SLEEP.search(line)
            if match:
                yield f"{name}:{number}: {match.group(0)}: finish it, or wait for a state"


def check_scripts():
    """Shell scripts parse (and pass shellcheck where it is installed), Python parses."""
    for name in tracked("*"):
        path = ROOT / name
        if name.endswith(".py"):
            try:
                ast.parse(path.read_text(), name)
            except SyntaxError as error:
                yield f"{name}:{error.lineno}: {error.msg}"
            continue
        with path.open("rb") as file:
            first = file.readline()
        if not re.match(rb"#!.*\b(bash|sh)\b", first):
            continue
        result = subprocess.run(["bash", "-n", name], cwd=ROOT, capture_output=True, text=True)
        if result.returncode:
            yield result.stderr.strip().splitlines()[0]


CHECKS = {
    "format": check_format,
    "arrows": check_arrows,
    "purity": check_purity,
    "file-length": check_file_length,
    "headers": check_headers,
    "rfc-table": check_rfc_table,
    "documented-commands": check_documented_commands,
    "forbidden-words": check_forbidden_words,
    "scripts": check_scripts,
}


def run_tidy(files):
    """clang-tidy-19 with .clang-tidy, on the compile commands of preset dev."""
    database = ROOT / "build" / "dev" / "compile_commands.json"
    if not database.exists():
        print("lint: clang-tidy needs build/dev; run ./dev build first", file=sys.stderr)
        return False
    known = {entry["file"] for entry in json.loads(database.read_text())}
    names = files or [name for name in tracked("vtl/*.cc", "lab/*.cc", "examples/*.cc")
                      if str(ROOT / name) in known]
    clean = True
    for index, name in enumerate(names, 1):
        print(f"[{index}/{len(names)}] clang-tidy {name}", flush=True)
        result = subprocess.run(["clang-tidy-19", "-p", "build/dev", "--quiet", name], cwd=ROOT,
                                stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        if result.stdout.strip():
            print(result.stdout)
        clean = clean and result.returncode == 0
    return clean


def main():
    parser = argparse.ArgumentParser(prog="./dev lint", description=__doc__.split("\n")[0])
    parser.add_argument("--only", choices=CHECKS)
    parser.add_argument("--json", metavar="FILE")
    parser.add_argument("--tidy", nargs="*", metavar="FILE")
    arguments = parser.parse_args()
    results = {}
    for name, check in CHECKS.items():
        if arguments.only in (None, name):
            results[name] = list(check())
            for problem in results[name]:
                print(f"{problem}  [{name}]")
    bad = sum(len(problems) for problems in results.values())
    print(f"lint: {len(results)} checks, {bad} problems")
    if arguments.json:
        pathlib.Path(arguments.json).write_text(json.dumps(results, indent=1) + "\n")
    clean = arguments.tidy is None or run_tidy(arguments.tidy)
    return 0 if bad == 0 and clean else 1


if __name__ == "__main__":
    sys.exit(main())
