"""`thaw doctor` from the outside."""

import os
import unittest

from command_fixture import CommandTest, require


class Doctor(CommandTest):
    def doctor(self, *arguments, ranks=0, status=0):
        return self.thaw("doctor", *arguments, ranks=ranks, status=status).stdout

    def test_describes_each_rank_and_finds_nothing_wrong(self):
        for ranks in (1, 3):
            text = self.doctor("--folder", "kept", ranks=ranks)
            self.assertIn("LibTorch", text)
            self.assertIn("nothing is wrong", text)
            for rank in range(ranks):
                self.assertRegex(text, rf"(?m)^ +{rank} +\S+ +{rank} ")
        self.assertRegex(text, r"sum of 33\.6 MB over 3 ranks: \d+\.\d+ ms")
        self.assertFalse((self.folder / "kept").exists(), "it leaves nothing behind")

    def test_leaves_a_folder_as_it_was(self):
        (self.folder / "kept").mkdir()
        self.write("kept/file", "text")
        self.doctor("--folder", "kept", ranks=2)
        self.assertEqual(os.listdir(self.folder / "kept"), ["file"])

    def test_a_folder_that_cannot_be_written_is_a_fault(self):
        self.write("file", "text")
        for ranks in (0, 2):
            text = self.doctor("--folder", "file/below", ranks=ranks, status=2)
            self.assertIn("FAULT: rank 0 (host ", text)
            self.assertIn("cannot write to file/below: Not a directory", text)
            self.assertIn("to do: name a folder", text)


if __name__ == "__main__":
    require()
    unittest.main(verbosity=2)
