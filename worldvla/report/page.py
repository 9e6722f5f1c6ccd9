"""The page: charts and template filled with a campaign's contents, written whole or not at all."""

from datetime import UTC, datetime
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape
from markupsafe import Markup

from worldvla.campaigns import check_name
from worldvla.home import reports_directory
from worldvla.lake.store import Lake
from worldvla.report.charts import Series, interval_chart, line_chart
from worldvla.report.contents import Contents, collect
from worldvla.whole_file import write_whole

RL_CURVES = ("imagined_success", "imagined_success_start", "imagined_success_near_failure")


def build(lake: Lake, campaign: str) -> Path:
    """Writes the report of a campaign to `reports/CAMPAIGN.html` in the home and returns its path."""
    path = reports_directory() / f"{check_name(campaign)}.html"
    html = render(collect(lake, campaign))
    write_whole(path, html)
    return path


def render(contents: Contents) -> str:
    """The page as HTML that needs nothing from outside itself."""
    environment = Environment(
        loader=PackageLoader("worldvla.report", "templates"),
        autoescape=select_autoescape(["html"], default=True),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"percent": percent, "rate": rate, "points": points, "count": count, "duration": duration}
    environment.globals |= {
        "image_chart": image_chart,
        "outcome_chart": outcome_chart,
        "learning_chart": learning_chart,
        "success_chart": success_chart,
    }
    return environment.get_template("report.html").render(
        contents=contents, verdict=verdict(contents), written=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    )


def verdict(contents: Contents) -> str:
    """What came of the loop, in one or two sentences that claim no more than the intervals do."""
    compared = contents.last_compared
    if compared is None:
        failed = [one for one in contents.iterations if one.gate_failure]
        if failed:
            return f"No policy was trained: the world model of iteration {failed[-1].iteration} failed its gate."
        return "No policy was evaluated yet."
    new, base, gain = (compared.evaluation[key] for key in ("new", "base", "difference"))
    sure = (
        "The interval of the difference lies above zero."
        if gain["low"] > 0
        else "The interval of the difference lies below zero."
        if gain["high"] < 0
        else "The interval of the difference includes zero: this many episodes cannot tell the two apart."
    )
    return (
        f"After iteration {compared.iteration} the policy succeeds on {new['successes']} of {new['n']} held-out "
        f"initial states in the real simulator, the base policy on {base['successes']} of the same {base['n']}: "
        f"a difference of {points(gain)}. {sure}"
    )


def success_chart(contents: Contents) -> Markup:
    groups = [
        (one.iteration, [("base", "muted", one.evaluation["base"]), ("new", "a", one.evaluation["new"])])
        for one in contents.iterations
        if one.evaluation
    ]
    return interval_chart(groups) if groups else Markup("")


def image_chart(summary: dict) -> Markup:
    curves = summary["curves"]
    series = [
        Series("world model", curves["psnr"], "a"),
        Series("first frame repeated", curves["static_psnr"], "muted"),
    ]
    return line_chart(curves["step"], series, "step", "PSNR, dB")


def outcome_chart(summary: dict) -> Markup:
    curves = summary["curves"]
    series = [
        Series(label, [rate["rate"] for rate in curves[name]], style, *_bounds(curves[name]))
        for name, label, style in (
            ("reward_alignment", "reward head", "a"),
            ("visual_alignment", "judge on imagined frames", "b"),
        )
    ]
    return line_chart(curves["step"], series, "step", "Agreement on success by this step", unit_interval=True)


def learning_chart(history: list[dict], probes: list[dict]) -> Markup:
    """Success in imagination, update by update, and what the probes say of it in the simulator."""
    styles = dict(zip(RL_CURVES, ("a", "muted", "b"), strict=True))
    # Where no group began near a failure, there is nothing to tell apart.
    if not any(update.get("imagined_success_near_failure") for update in history):
        styles = {"imagined_success": styles["imagined_success"]}
    series = [
        Series(
            name.replace("imagined_success", "imagined success").replace("_", " "), [u[name] for u in history], style
        )
        for name, style in styles.items()
        if name in history[0]
    ]
    if probes:
        updates, rates = [probe["update"] for probe in probes], [probe["rate"] for probe in probes]
        series.append(Series("real, one by one on tuning seeds", rates, "c", steps=updates))
    return line_chart(list(range(1, len(history) + 1)), series, "GRPO update", "Success while it learns", True)


def percent(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.1f} %"


def rate(value: dict | None) -> str:
    """`87.5 % (73.9 – 94.5)`."""
    if value is None or value["rate"] is None:
        return "–"
    return f"{100 * value['rate']:.1f} % ({100 * value['low']:.1f} – {100 * value['high']:.1f})"


def points(value: dict) -> str:
    """A difference of rates in percentage points with its interval."""
    return f"{100 * value['difference']:+.1f} points ({100 * value['low']:+.1f} to {100 * value['high']:+.1f})".replace(
        "-", "−"
    )


def count(value: int | None) -> str:
    return "–" if value is None else f"{value:,}".replace(",", "\u202f")


def duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"


def _bounds(rates: list[dict]) -> tuple[list[float], list[float]]:
    return [r["low"] for r in rates], [r["high"] for r in rates]
