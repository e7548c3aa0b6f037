"""Data sets as tensors: loaders, splits, augmentation, and fetching with a checksum."""
