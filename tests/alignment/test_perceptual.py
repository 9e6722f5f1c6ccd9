import numpy as np

from worldvla.alignment.perceptual import PSNR_CEILING_DB, flip, psnr, ssim

RANDOM = np.random.default_rng(0)
REAL = RANDOM.integers(0, 256, (2, 32, 32, 3), dtype=np.uint8)


def degraded(amount):
    return np.clip(REAL + RANDOM.normal(0, amount, REAL.shape), 0, 255).astype(np.uint8)


def test_equal_pictures_are_as_near_as_can_be():
    assert np.allclose(psnr(REAL, REAL), PSNR_CEILING_DB)
    assert np.allclose(ssim(REAL, REAL), 1)
    assert np.allclose(flip(REAL, REAL), 0)


def test_psnr_is_what_its_definition_gives():
    shifted = np.full_like(REAL, 100)
    assert np.allclose(psnr(shifted, shifted + 10), 20 * np.log10(255 / 10), atol=1e-4)


def test_worse_pictures_are_farther_by_every_measure():
    near, far = degraded(10), degraded(60)
    assert (psnr(REAL, near) > psnr(REAL, far)).all()
    assert (ssim(REAL, near) > ssim(REAL, far)).all()
    assert (flip(REAL, near) < flip(REAL, far)).all()
    assert ((flip(REAL, far) > 0) & (flip(REAL, far) < 1)).all()


def test_every_frame_has_its_own_value():
    mixed = np.stack([REAL[0], degraded(40)[1]])
    for measure in (psnr, ssim, flip):
        both = measure(REAL, mixed)
        assert both.shape == (2,)
        assert np.allclose(both[1], measure(REAL[1:], mixed[1:])[0], atol=1e-5)
