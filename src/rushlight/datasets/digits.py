"""The UCI handwritten digits: 1,797 images of 8 × 8 pixels.

E. Alpaydin, C. Kaynak: Optical Recognition of Handwritten Digits, UCI Machine Learning Repository,
1998, doi:10.24432/C50P49, CC BY 4.0 (DIGITS.md beside the data).
"""

import os
import zlib

import numpy as np

import rushlight as torch

COUNT, SIDE, INK = 1797, 8, 16
_FILE = os.path.join(os.path.dirname(__file__), "digits.bin")


class Digits:
    """Images (float32, n × 1 × 8 × 8, from 0 paper to 1 ink) and labels (int64, n)."""

    def __init__(self, images, labels):
        self.images = images
        self.labels = labels

    def __len__(self):
        return len(self.labels)

    def dataset(self):
        """A `TensorDataset` of (image, label)."""
        return torch.utils.data.TensorDataset(self.images, self.labels)

    def _take(self, mask):
        rows = torch.from_numpy(np.flatnonzero(mask))
        return Digits(self.images[rows], self.labels[rows])

    def split(self):
        """``(training, validation, test)``: fixed, with all classes in equal shares.

        Every fifth image of each digit, in file order, is a test image; every eighth of the others
        is for validation. Nothing random takes part, so the test set is the same for everybody.
        """
        labels = self.labels.numpy()
        test = np.zeros(len(labels), bool)
        validation = np.zeros(len(labels), bool)
        for digit in range(10):
            rows = np.flatnonzero(labels == digit)
            test[rows[2::5]] = True
            rest = rows[~test[rows]]
            validation[rest[3::8]] = True
        return self._take(~test & ~validation), self._take(validation), self._take(test)


def load_digits():
    """All 1,797 digits in file order."""
    with open(_FILE, "rb") as file:
        raw = np.frombuffer(zlib.decompress(file.read()), np.uint8)
    labels = torch.from_numpy(raw[:COUNT].astype(np.int64))
    pixels = raw[COUNT:].astype(np.float32) / INK
    return Digits(torch.from_numpy(pixels.reshape(COUNT, 1, SIDE, SIDE)), labels)
