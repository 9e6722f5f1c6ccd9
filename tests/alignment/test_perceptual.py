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


def test_ssim_is_the_mean_over_windows_inside_the_picture():
    """Wang et al. 2004, equation 13, written out; the pictures differ in their middle, as imagined ones do."""
    weights = np.exp(-0.5 * (np.arange(-5, 6) / 1.5) ** 2)
    window = np.outer(weights, weights) / weights.sum() ** 2
    imagined = REAL.copy()
    imagined[:, 10:22, 10:22] = degraded(60)[:, 10:22, 10:22]

    def means(values):
        return np.einsum("ijkl,kl->ij", np.lib.stride_tricks.sliding_window_view(values, window.shape), window)

    def similarity(x, y):
        x, y = x.astype(np.float64), y.astype(np.float64)
        mx, my, c1, c2 = means(x), means(y), (0.01 * 255) ** 2, (0.03 * 255) ** 2
        vx, vy, vxy = means(x * x) - mx**2, means(y * y) - my**2, means(x * y) - mx * my
        return ((2 * mx * my + c1) * (2 * vxy + c2) / ((mx**2 + my**2 + c1) * (vx + vy + c2))).mean()

    for real, other, value in zip(REAL, imagined, ssim(REAL, imagined), strict=True):
        by_definition = np.mean([similarity(real[..., colour], other[..., colour]) for colour in range(3)])
        assert abs(value - by_definition) < 1e-4


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
