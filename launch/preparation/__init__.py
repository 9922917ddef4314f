"""Makes Thaw's HDF5 dataset files and imports models. The commands are launch/prepare.py and
launch/import_gguf.py.

The modules, from the bottom up:
  start         how a script starts and ends, in whatever Python
  streams       standard streams that may be closed or full; names shown escaped
  errors        what goes wrong with a user's input, and notes about it
  limits        the bounds of memory and time that hold whatever a file claims
  progress      one updating line on a terminal, timed lines elsewhere; the closing table
  inputs        opening, fingerprinting (plain or gzip); what a file of the wrong kind is
  workplace     a folder of this run alone beside the output, and what killed runs left
  dataset_file  the HDF5 file: streamed arrays, fingerprints, all or nothing
  splits        names of splits, folders that hold one of each
  classes       class order, labels as indices, the split by fraction
  tasks         what is to be learnt: one class, several, or numbers; `labels` as the file has them
  text/         encoding, dialect, tables (CSV, TSV, JSON lines); label_columns: what their fields
                say of the labels; tokens; the subcommands text (command) and wordnet
  images/       raw_arrays (npz, IDX), labels and arrays: what they hold; decoding and folders of
                image files; the subcommand images (command)
  language/     vocabulary: special tokens; chat: templates; file; the subcommands completion, corpus
                and tags
  options       types of options, and groups that several subcommands have
  command_line  options and their help

Only the scripts and this package's users decide what to import: numpy, h5py, tokenizers, Pillow
and jinja2 are looked for after the command line was understood, so that --help needs none of them.
"""
