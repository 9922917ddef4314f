"""thaw::ShardedOptimizer beside PyTorch's ZeroRedundancyOptimizer, on gloo: the same parameters after
twenty steps of AdamW, and the state that each rank holds.

PyTorch is that of the Python that THAW_REFERENCE_PYTHON names, or of the tests'; without it this is
skipped. As `zero_redundancy_test.py worker FOLDER` it is a rank of PyTorch's job.
"""

import json
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

STEPS, ROWS, INPUTS = 20, 4, 7  # as in sharded_loop.cpp
LOOP = os.environ.get("THAW_SHARDED_LOOP", "")
MPIEXEC = os.environ.get("THAW_MPIEXEC", "mpiexec")
PYTHON = os.environ.get("THAW_REFERENCE_PYTHON", os.environ.get("THAW_TEST_PYTHON", sys.executable))
SECONDS = 240


def make_net(torch):
    net = torch.nn.Sequential(torch.nn.Linear(INPUTS, 400), torch.nn.Tanh(),
                              torch.nn.Linear(400, 331), torch.nn.Tanh(),
                              torch.nn.Linear(331, 3)).double()
    with torch.no_grad():
        for parameter in net.parameters():
            values = torch.arange(parameter.numel(), dtype=torch.float64)
            parameter.copy_((values * 0.37).sin().mul(0.1).view_as(parameter))
    return net


def work(folder: pathlib.Path) -> None:
    import torch
    from torch import distributed
    from torch.distributed.optim import ZeroRedundancyOptimizer

    torch.set_num_threads(1)
    distributed.init_process_group("gloo", init_method=f"file://{folder}/meeting",
                                   rank=int(os.environ["RANK"]),
                                   world_size=int(os.environ["WORLD_SIZE"]))
    rank, ranks = distributed.get_rank(), distributed.get_world_size()
    net = make_net(torch)
    parallel = torch.nn.parallel.DistributedDataParallel(net)
    optimizer = ZeroRedundancyOptimizer(net.parameters(), torch.optim.AdamW, lr=1e-3,
                                        weight_decay=0.1)
    for step in range(STEPS):
        optimizer.zero_grad()
        values = torch.arange(ROWS * ranks * INPUTS, dtype=torch.float64)
        rows = ((values + step) * 0.61).cos().view(ROWS * ranks, INPUTS)
        parallel(rows[ROWS * rank:ROWS * (rank + 1)]).square().mean().backward()
        optimizer.step()
    held = sum(tensor.nbytes for state in optimizer.optim.state.values()
               for tensor in state.values() if tensor.dim() > 0)
    (folder / f"state-{rank}.json").write_text(json.dumps(held))
    if rank == 0:
        flat = torch.cat([parameter.detach().flatten() for parameter in net.parameters()])
        (folder / "torch.bin").write_bytes(flat.numpy().tobytes())
    distributed.barrier()
    distributed.destroy_process_group()


def has_torch() -> bool:
    code = "import torch.distributed as d; assert d.is_gloo_available()"
    return subprocess.run([PYTHON, "-c", code], capture_output=True, check=False).returncode == 0


class ZeroRedundancy(unittest.TestCase):
    def of_thaw(self, folder, ranks):
        """The parameters, and bytes of state by rank."""
        done = subprocess.run([MPIEXEC, "-n", str(ranks), LOOP, str(folder / "thaw.bin")], text=True,
                              capture_output=True, timeout=SECONDS, check=False)
        self.assertEqual(done.returncode, 0, done.stderr)
        return np.fromfile(folder / "thaw.bin"), [int(line) for line in done.stdout.split()]

    def of_torch(self, folder, ranks):
        workers = [subprocess.Popen([PYTHON, __file__, "worker", str(folder)], text=True,
                                    stderr=subprocess.PIPE,
                                    env=os.environ | {"RANK": str(rank), "WORLD_SIZE": str(ranks),
                                                      "OMP_NUM_THREADS": "1"})
                   for rank in range(ranks)]
        for worker in workers:
            self.addCleanup(worker.kill)
        for worker in workers:
            _, errors = worker.communicate(timeout=SECONDS)
            self.assertEqual(worker.returncode, 0, errors)
        return np.fromfile(folder / "torch.bin"), [
            json.loads((folder / f"state-{rank}.json").read_text()) for rank in range(ranks)]

    def test_the_same_steps(self):
        for ranks in (2, 3):
            with self.subTest(ranks=ranks), tempfile.TemporaryDirectory() as name:
                folder = pathlib.Path(name)
                found, ours = self.of_thaw(folder, ranks)
                expected, theirs = self.of_torch(folder, ranks)
                apart = np.abs(found - expected).max() / np.abs(expected).max()
                print(f"{ranks} ranks: parameters {apart:.1e} apart; bytes of state a rank: "
                      f"Thaw {ours}, ZeroRedundancyOptimizer {theirs}")
                self.assertLess(apart, 1e-9)
                whole = 2 * 8 * len(found)
                self.assertEqual(sum(ours), whole)
                self.assertEqual(sum(theirs), whole)
                self.assertLess(max(ours), 1.02 * whole / ranks)
                self.assertLessEqual(max(ours), max(theirs))  # which gives whole tensors away


if __name__ == "__main__":
    if sys.argv[1:2] == ["worker"]:
        work(pathlib.Path(sys.argv[2]))
        sys.exit(0)
    try:
        import numpy as np
    except ImportError as error:
        print(f"SKIPPED: {error}")
        sys.exit(77)
    if not os.path.isfile(LOOP):
        print("SKIPPED: THAW_SHARDED_LOOP names no file; run through ctest")
        sys.exit(77)
    if not has_torch():
        print(f"SKIPPED: {PYTHON} has no torch with gloo; name one by THAW_REFERENCE_PYTHON")
        sys.exit(77)
    unittest.main(verbosity=2)
