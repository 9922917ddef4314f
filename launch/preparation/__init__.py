"""Makes Thaw's HDF5 dataset files. The command is launch/prepare.py.

The modules, from the bottom up:
  errors        what goes wrong with a user's input, and notes about it
  progress      one updating line on a terminal, timed lines elsewhere; the closing table
  inputs        opening, fingerprinting (plain or gzip)
  dataset_file  the HDF5 file: streamed arrays, fingerprints, all or nothing
  classes       class order, labels as indices, the split by fraction
  tasks         what is to be learnt: one class, several, or numbers; `labels` as the file has them
  tokens        texts to token ids, batch by batch
  tables        CSV, TSV and JSON lines; label_columns: what their fields say of the labels
  raw_arrays    npz and IDX; array_labels, array_images: what they hold
  folder_images images in a folder a class
  text, wordnet, images                  one subcommand each

Only prepare.py and this package's users decide what to import: numpy, h5py, tokenizers and Pillow
are looked for after the command line was understood, so that --help needs none of them.
"""
