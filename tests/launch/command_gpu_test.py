"""Where ranks compute: what a run says that wants GPUs and has none."""

import unittest

from command_fixture import CommandTest, require

# Whether thaw was built with CUDA or not, and whatever the machine has: there is no GPU to be seen.
NO_GPU = {"CUDA_VISIBLE_DEVICES": ""}
WHY = "built without CUDA|CUDA_VISIBLE_DEVICES is \"\", which leaves this rank no GPU"


class WithoutGpu(CommandTest):
    def test_cuda_is_refused_where_the_file_says_it(self):
        self.images()
        path = self.folder / self.resnet_config()
        text = path.read_text(encoding="utf-8").replace("[train]\n", '[train]\ndevice = "cuda"\n')
        config = self.write(path.name, text)
        line = text.splitlines().index('device = "cuda"') + 1
        for ranks in (0, 2):
            error = self.thaw("train", config, "--run-dir", "run", ranks=ranks, status=2,
                              environment=NO_GPU).stderr
            self.assertRegex(error, rf"{config.name}:{line}: train.device: .*({WHY})")
            self.assertEqual(error.count("train.device: "), 1, error)
        self.assertFalse((self.folder / "run").exists())

    def test_auto_computes_on_the_cpu(self):
        self.images()
        said = self.thaw("train", self.resnet_config(), "--run-dir", "run", environment=NO_GPU).stderr
        cuda = "CUDA yes" in self.thaw("--version").stdout
        self.assertEqual(said.count('computing on the CPU: CUDA_VISIBLE_DEVICES is ""'), cuda, said)
        self.assertIn('device = "auto"',
                      (self.folder / "run/config.resolved.toml").read_text(encoding="utf-8"))
        self.assertTrue(self.metrics("run"))

    def test_another_device_is_named_with_what_there_is(self):
        self.images()
        error = self.refused("train", self.resnet_config(), "--train.device", "gpu")
        self.assertRegex(error, "train.device: .*auto.*cpu.*cuda")


if __name__ == "__main__":
    require()
    unittest.main()
