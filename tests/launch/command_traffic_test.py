"""That frozen layers do not travel: counted by the loopback interface itself, with MPI over TCP.

The job runs in a network namespace of its own, so that nothing else is on its loopback.
"""

import json
import os
import shutil
import subprocess
import unittest

from command_fixture import MPIEXEC, SECONDS, THAW, CommandTest, require

STEPS = 12
OVER_TCP = {"OMPI_MCA_btl": "tcp,self", "OMPI_MCA_btl_tcp_if_include": "lo", "OMPI_MCA_pml": "ob1",
            "OMPI_MCA_oob_tcp_if_include": "lo"}
SCRIPT = """
ip link set lo up || exit 77
sent() { awk '$1 == "lo:" { print $10 }' /proc/net/dev; }
before=$(sent)
"$@" >&2 || exit 1
echo $(($(sent) - before))
"""


def in_own_network(*command, **options):
    return subprocess.run(["unshare", "--net", "--map-root-user", "sh", "-c", SCRIPT, "sh",
                           *command], text=True, capture_output=True, check=False, **options)


def can_make_networks():
    if not shutil.which("unshare") or not shutil.which("ip"):
        return False
    return in_own_network("true").returncode == 0


@unittest.skipUnless(can_make_networks(), "no network namespaces here (unshare, ip)")
class Traffic(CommandTest):
    def bytes_of(self, groups, steps):
        """What a job of two ranks sends over loopback, and the payload that its reducer counts."""
        stage = f"""
[[schedule.stage]]
name = "only"
groups = {json.dumps(groups)}
learning-rate = 0.01
until = {{ steps = {steps} }}
"""
        config = self.resnet_config(stages=stage)
        shutil.rmtree(self.folder / "run", ignore_errors=True)
        done = in_own_network(MPIEXEC, "-n", "2", THAW, "train", config, "--run-dir", "run",
                              "--train.batch-norm", "local", cwd=self.folder, timeout=SECONDS,
                              env=dict(os.environ, OMP_NUM_THREADS="1", **OVER_TCP))
        self.assertEqual(done.returncode, 0, done.stderr)
        return int(done.stdout.split()[-1]), self.summary("run")["stages"][0]

    def test_steps_send_the_active_parameters_alone(self):
        self.images(train=12 * 3 * STEPS, validation=4)
        groups = ["head"], ["layer3", "head"], ["stem", "layer1", "layer2", "layer3", "head"]
        sent = []
        for active in groups:
            # The difference between many steps and few leaves start and end out.
            few, _ = self.bytes_of(active, STEPS)
            many, row = self.bytes_of(active, 3 * STEPS)
            self.assertEqual(row["bytes_reduced_per_step"], 4 * row["active_parameters"])
            per_step = (many - few) / (2 * STEPS)
            sent.append(per_step)
            # Two ranks send each other their gradients once, and headers and small agreements.
            payload = 2 * row["bytes_reduced_per_step"]
            self.assertGreater(per_step, 0.95 * payload)
            self.assertLess(per_step, 1.25 * payload + 20000)
        self.assertLess(sent[0], sent[1] / 10)
        self.assertLess(sent[1], sent[2])


if __name__ == "__main__":
    require()
    unittest.main(verbosity=2)
