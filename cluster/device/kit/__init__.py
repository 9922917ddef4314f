"""The parts of the device kit: what run.sh checks and measures, and the report it leaves."""
