#!/usr/bin/env bash
# Checks and measures Thaw's GPU part on this machine, in at most 9 1/2 minutes.
#
#   run.sh [--only PART[,PART…]] [--output DIR] [--list] [--null-gpu LIBRARY [--slower X]]
#
#   --only PART         one part or several; --list names them, with what they do and their limits
#   --output DIR        where report.json and report.md go (default: device-report here); they grow
#                       part by part, so that what was found is there whatever ends the run
#   --null-gpu LIBRARY  a rehearsal on the null GPU: all programs run, nothing that it tells is a number;
#                       --slower X: every limit times so much, for a slow machine
#
# Needs a GPU, bash and a python3 (or $PYTHON) with torch 2.11 for CUDA 13; no root, no network. Status 0:
# nothing was wrong; 1: the report says what was; 2: nothing could be begun, and why.
set -euo pipefail
bundle=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
python=${PYTHON:-python3}
command -v "$python" >/dev/null || {
  echo "run.sh: no $python here: a Python with torch 2.11 for CUDA 13 is needed (or name it by PYTHON)" >&2
  exit 2
}
export PYTHONPATH=$bundle/python PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
exec "$python" -m kit.run "$bundle" "$@"
