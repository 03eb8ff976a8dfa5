"""The bundled digits and their fixed split."""

import zlib

import numpy as np

import rushlight as torch
from rushlight.datasets import load_digits

# CRC-32 of the pixels in the published order.
PIXEL_CRC = 4087501628


def test_all_images_are_there():
    digits = load_digits()
    assert len(digits) == 1797 and digits.images.shape == (1797, 1, 8, 8)
    assert digits.images.dtype == torch.float32 and digits.labels.dtype == torch.int64
    assert np.bincount(digits.labels.numpy()).tolist() == \
        [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]
    raw = np.rint(digits.images.numpy() * 16).astype(np.uint8)
    assert raw.max() == 16 and raw.min() == 0
    assert zlib.crc32(raw.tobytes()) == PIXEL_CRC


def test_split_is_fixed_and_stratified():
    digits = load_digits()
    training, validation, test = digits.split()
    assert (len(training), len(validation), len(test)) == (1259, 179, 359)
    whole = np.bincount(digits.labels.numpy())
    share = np.bincount(test.labels.numpy())
    assert np.abs(share - whole / 5).max() < 1
    assert test.labels[:10].tolist() == digits.split()[2].labels[:10].tolist()


def test_parts_do_not_overlap():
    digits = load_digits()
    index = {row.tobytes(): i for i, row in enumerate(digits.images.numpy())}
    seen = [{index[row.tobytes()] for row in part.images.numpy()} for part in digits.split()]
    assert len(index) == 1797 and len(set.union(*seen)) == 1797
    assert sum(map(len, seen)) == 1797
