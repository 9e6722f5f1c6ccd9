"""The gate: a world model below a preset's thresholds trains no policy."""

from worldvla.config import Gate


def check(summary: dict, gate: Gate) -> list[str]:
    """What fails, in words with the measured value and the threshold; empty when the world model passes.

    PSNR is that of the last step of whole-episode rollouts; SSIM the mean over all steps.
    Rates are compared themselves; their intervals are named so that a reader sees how sure they are.
    """
    failures = []
    for name, measured, threshold, unit in (
        ("PSNR at the last step", summary["psnr_last"], gate.psnr_db, " dB"),
        ("mean SSIM", summary["ssim"], gate.ssim, ""),
    ):
        if not measured >= threshold:
            failures.append(f"{name} is {measured:.2f}{unit}, below {threshold:g}{unit} (n = {summary['n']})")
    for name, key, threshold in (
        ("visual alignment", "visual_alignment", gate.visual_alignment),
        ("reward alignment", "reward_alignment", gate.reward_alignment),
    ):
        rate = summary[key]
        if not rate["rate"] >= threshold:
            failures.append(
                f"{name} is {rate['rate']:.1%} ({rate['successes']} of {rate['n']}, "
                f"95 % interval {rate['low']:.1%} to {rate['high']:.1%}), below {threshold:.1%}"
            )
    return failures
