"""Images: arrays of npz and IDX files, and folders of image files."""
