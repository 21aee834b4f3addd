"""Calls the commands without a host: `python3 -m unittest` in this folder."""

import unittest

import dropin
from worker import plugin


class Commands(unittest.TestCase):
    def test_it_greets(self) -> None:
        with dropin.Test(plugin) as test:
            self.assertEqual(test.call("{{project-name}}.hello"), "hello, you")
            self.assertEqual(test.call("{{project-name}}.hello", "Ada"), "hello, Ada")
            with self.assertRaises(dropin.Error):
                test.call("{{project-name}}.hello", "")

    def test_it_takes_the_mean(self) -> None:
        with dropin.Test(plugin) as test:
            self.assertEqual(test.call("{{project-name}}.mean", 1, 2, 4.5), 2.5)
            with self.assertRaises(dropin.Error):
                test.call("{{project-name}}.mean", 1, "two")


if __name__ == "__main__":
    unittest.main()
