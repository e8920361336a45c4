#!/usr/bin/env python3
"""./dev as a newcomer meets it. Builds nothing: the test that runs this was built by ./dev build.

covers: ./dev setup, ./dev build, ./dev test, ./dev demo, ./dev bench, ./dev fuzz, ./dev lint
covers: ./dev fmt, ./dev ci
"""

import pathlib
import subprocess
import unittest

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
COMMANDS = ["setup", "build", "test", "demo", "bench", "fuzz", "lint", "fmt", "ci"]


def dev(*arguments):
    return subprocess.run([str(ROOT / "dev"), *arguments], capture_output=True, text=True)


class DevCommand(unittest.TestCase):
    def test_alone_it_lists_every_command(self):
        result = dev()
        self.assertEqual(result.returncode, 0)
        listed = [line.split()[0] for line in result.stdout.splitlines()
                  if line.startswith("  ") and not line.startswith("   ")]
        self.assertEqual(listed, COMMANDS)

    def test_unknown_command_is_refused_by_name(self):
        result = dev("bild")
        self.assertEqual(result.returncode, 2)
        self.assertIn("no command 'bild'", result.stderr)

    def test_setup_says_nothing_when_nothing_is_missing(self):
        result = dev("setup")
        self.assertEqual((result.returncode, result.stdout, result.stderr), (0, "", ""))

    def test_unknown_preset_and_suite_and_experiment_are_refused(self):
        for arguments, message in [(("build", "debug"), "no preset 'debug'"),
                                   (("test", "unti"), "no suite 'unti'"),
                                   (("bench", "lan"), "say which experiment"),
                                   (("fuzz", "--seconds", "soon"), "--seconds needs a number"),
                                   (("fmt", "--dry"), "fmt takes --check")]:
            with self.subTest(arguments=arguments):
                result = dev(*arguments)
                self.assertEqual(result.returncode, 2)
                self.assertIn(message, result.stderr)

    def test_ci_runs_the_test_command(self):
        self.assertIn("./dev test", (ROOT / ".ci" / "run").read_text())


if __name__ == "__main__":
    unittest.main()
