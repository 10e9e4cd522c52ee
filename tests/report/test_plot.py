"""Pictures: Axes out, nothing global changed, hostile names as text, readable without colour."""

import io
import subprocess
import sys
from itertools import pairwise

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from poolproof import InputError, audit, screen_triples
from poolproof import _names as names
from poolproof.pairs import figure_data
from poolproof.pairs.figures import CALLS
from poolproof.report import drawing as _drawing
from poolproof.report import plot
from poolproof.triples import triple_figure_data
from poolproof.triples.figures import SEPARATED

HOSTILE = ("$\\frac{x}$", "<script>alert(1)</script>", "a\x1b[31m\u202eb", "n" * 300, "$", "[/b]_^{")
PAIR = HOSTILE[1], HOSTILE[0]  # the strongest bent pair of the data below
PICTURES = {
    "calls_by_strength": plot.calls_by_strength,
    "share_against_r2": plot.share_against_r2,
    "genes of regulators": plot.genes,
    "genes of targets": lambda result, ax=None: plot.genes(result, "target", ax),
    "depth": lambda result, ax=None: plot.data_overview(result, "depth", ax),
    "zeros": lambda result, ax=None: plot.data_overview(result, "zeros", ax),
    "mean_variance": lambda result, ax=None: plot.data_overview(result, "mean_variance", ax),
    "pair": lambda result, ax=None: plot.pair(result, *PAIR, ax),
}


@pytest.fixture(scope="module")
def result():
    random = np.random.default_rng(2)
    x = random.gamma(2.0, size=300)
    forms = (x, np.exp(0.6 * x), np.zeros(300))
    data = pd.DataFrame(
        {
            name: 5 + forms[i % 3] + random.normal(0, 0.1 if name in PAIR else 0.6, 300)
            for i, name in enumerate(HOSTILE)
        },
        index=[f"s{i}" for i in range(300)],
    )
    obs = pd.DataFrame({"type": ["$a$"] * 200 + ["$\\frac$"] * 100}, index=data.index)
    return audit(data, obs=obs, kind="bulk", scale="additive", within="type", threads=1)


@pytest.fixture(scope="module")
def tables(result):
    return figure_data(result.linearity)


def saved(ax, kind="svg"):
    file = io.BytesIO()
    ax.figure.savefig(file, format=kind)
    return file.getvalue()


@pytest.mark.parametrize("name", PICTURES)
def test_plot__returns_axes_from_audit_linearity_and_tables(result, tables, name):
    draw = PICTURES[name]
    for source in (result, result.linearity, tables):
        ax = draw(source)
        assert isinstance(ax, Axes)
        assert isinstance(ax.figure, Figure)
        assert saved(ax).startswith(b"<?xml")


@pytest.mark.parametrize("name", PICTURES)
def test_plot__draws_into_given_axes(tables, name):
    figure = Figure()
    one, other = figure.subplots(1, 2)
    assert PICTURES[name](tables, ax=one) is one
    assert one.has_data()
    assert not other.has_data()


@pytest.mark.parametrize("name", PICTURES)
@pytest.mark.parametrize("kind", ["pdf", "svg"])
def test_plot__is_vector_and_small(tables, name, kind):
    assert len(saved(PICTURES[name](tables), kind)) < 300_000


def test_plot__leaves_no_global_state(tables):
    before = dict(mpl.rcParams)
    for draw in PICTURES.values():
        saved(draw(tables))
    assert dict(mpl.rcParams) == before


def test_plot__needs_no_pyplot():
    script = "import sys, poolproof.plot; assert 'matplotlib.pyplot' not in sys.modules"
    subprocess.run([sys.executable, "-c", script], check=True)


def test_plot__works_under_foreign_settings(tables):
    with mpl.rc_context({"text.usetex": False, "axes.unicode_minus": False, "font.size": 20}):
        for draw in PICTURES.values():
            saved(draw(tables))


def texts(ax):
    found = [ax.xaxis.label, ax.yaxis.label, ax.title, *ax.get_yticklabels()]
    return found + (ax.get_legend().get_texts() if ax.get_legend() else [])


def test_plot__hostile_names_are_text(tables):
    found = [t for name in ("pair", "genes of regulators") for t in texts(PICTURES[name](tables))]
    named = [t for t in found if any(c in t.get_text() for c in "$<[") or "nnn" in t.get_text()]
    assert len(named) >= 6
    assert not any(t.get_parse_math() for t in named)
    shown = "".join(t.get_text() for t in found)
    assert "\x1b" not in shown
    assert "\u202e" not in shown
    assert max(len(t.get_text()) for t in found) < 60
    svg = saved(PICTURES["pair"](tables))
    with mpl.rc_context({"svg.fonttype": "none"}):
        svg = saved(PICTURES["pair"](tables))
    assert b"<script" not in svg
    assert b"&lt;script&gt;" in svg


def test_plot__reads_without_colour():
    assert len({(_drawing.HATCHES[call], _drawing.MARKERS[call]) for call in CALLS}) == 3
    assert len(set(_drawing.MARKERS.values())) == 3
    assert len(set(_drawing.LEVEL_MARKERS)) == len(_drawing.LEVEL_COLOURS)
    grey = [np.dot(mpl.colors.to_rgb(_drawing.FILLS[call]), [0.2126, 0.7152, 0.0722]) for call in CALLS]
    hatched = {call for call in CALLS if _drawing.HATCHES[call]}
    plain = [g for call, g in zip(CALLS, grey, strict=True) if call not in hatched]
    assert len(hatched) == 1
    assert abs(plain[0] - plain[1]) > 0.3  # bars without hatch differ in lightness


def contrast(colour, paper="white"):
    """Contrast of two colours as WCAG 2 defines it: 1 to 21."""

    def light(c):
        rgb = np.array(mpl.colors.to_rgb(c))
        linear = np.where(rgb <= 0.03928, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
        return linear @ [0.2126, 0.7152, 0.0722]

    one, other = sorted((light(colour), light(paper)), reverse=True)
    return (one + 0.05) / (other + 0.05)


@pytest.mark.parametrize("name", PICTURES)
def test_plot__text_and_lines_stand_out(tables, name):
    ax = PICTURES[name](tables)
    FigureCanvasAgg(ax.figure).draw()
    legend = ax.get_legend()
    said = [t for t in ax.figure.findobj(mpl.text.Text) if t.get_text()]
    assert len(said) >= 4
    assert min(contrast(t.get_color()) for t in said) >= 4.5
    assert min(t.get_fontsize() for t in said) >= 7
    lines = [line for line in ax.lines if line.get_linestyle() != "None"]
    assert all(contrast(line.get_color()) >= 3 for line in lines)
    assert legend is None or legend.get_texts()


def test_plot__colours_of_marks_stand_out():
    for colour in (*_drawing.COLOURS.values(), *_drawing.LEVEL_COLOURS):
        assert contrast(colour) >= 3
    for call in CALLS:  # a bar stands out by its fill or by its edge
        assert max(contrast(_drawing.FILLS[call]), contrast(_drawing.COLOURS[call])) >= 3


def boxes(ax):
    """Boxes of all text shown, in pixels, by kind."""
    renderer = ax.figure.canvas.get_renderer()

    def of(found):
        return [t.get_window_extent(renderer) for t in found if t.get_text() and t.get_visible()]

    rest = [ax.xaxis.label, ax.yaxis.label, ax.title, *ax.texts]
    legend = ax.get_legend()
    return {
        "x": of(labels_of_ticks(ax.xaxis)),
        "y": of(labels_of_ticks(ax.yaxis)),
        "other": of(rest + (legend.get_texts() if legend else [])),
    }


def labels_of_ticks(axis):
    """Labels of the ticks that lie inside the picture."""
    low, high = sorted(axis.get_view_interval())
    return [tick.label1 for tick in axis.get_major_ticks() if low <= tick.get_loc() <= high]


@pytest.mark.parametrize("name", PICTURES)
def test_plot__no_text_is_cut_off_and_no_labels_overlap(tables, name):
    ax = PICTURES[name](tables)
    FigureCanvasAgg(ax.figure).draw()
    found, page = boxes(ax), ax.figure.bbox
    for box in [*found["x"], *found["y"], *found["other"]]:
        assert box.x0 >= page.x0 - 1
        assert box.x1 <= page.x1 + 1
        assert box.y0 >= page.y0 - 1
        assert box.y1 <= page.y1 + 1
    assert_apart(found)


def assert_apart(found):
    for kind, start, end in (("x", "x0", "x1"), ("y", "y0", "y1")):
        ends = sorted((getattr(b, start), getattr(b, end)) for b in found[kind])
        assert all(one[1] < other[0] + 1 for one, other in pairwise(ends)), kind


TOTALS = {
    "within a decade": np.geomspace(290, 6000, 31),
    "two decades": np.geomspace(900, 120_000, 31),
    "seven decades": np.geomspace(1, 1e7, 31),
    "linear": np.linspace(61_000, 270_000, 31),
    "equal": np.linspace(0.95e6, 1.05e6, 31),
    "small": np.linspace(0.01, 0.2, 31),
}


@pytest.mark.parametrize("edges", TOTALS.values(), ids=TOTALS)
def test_data_overview__ticks_of_totals_are_few_apart_and_different(edges):
    depth = pd.DataFrame({"low": edges[:-1], "high": edges[1:], "n_cells": 5})
    ax = plot.data_overview({"depth": depth}, "depth")
    FigureCanvasAgg(ax.figure).draw()
    assert_apart(boxes(ax))
    shown = [t.get_text() for t in labels_of_ticks(ax.xaxis)]
    assert len(shown) == len(set(shown)) >= 2
    assert ax.get_ylabel() == "cells"


@pytest.mark.parametrize(("last", "end"), [(0.05, 0.2), (0.2, 0.2), (0.4, 0.5), (0.9, 1.0)])
def test_data_overview__few_zeros_fill_the_picture(last, end):
    low = np.arange(0, 1, 0.05)
    zeros = pd.DataFrame({"low": low, "high": low + 0.05, "n_genes": np.where(low + 0.04 < last, 9, 0)})
    ax = plot.data_overview({"zeros": zeros}, "zeros")
    assert ax.get_xlim() == (0, end)
    FigureCanvasAgg(ax.figure).draw()
    assert_apart(boxes(ax))


PRESSED = {
    "small": lambda rng: 1e-5 * rng.lognormal(0, 1.5, 300),
    "large": lambda rng: 1e5 * rng.lognormal(0, 1.8, 300),
    "zeros": lambda rng: rng.lognormal(5, 1.5, 300) * (rng.random(300) < 0.3),
    "negative": lambda rng: -rng.lognormal(0, 1.5, 300),
    "both signs": lambda rng: rng.standard_t(1.2, 300),
}


@pytest.mark.parametrize("size", [(2.75, 2.6), (1.9, 1.7)])
@pytest.mark.parametrize("law", PRESSED)
def test_pressed_axes__labels_of_ticks_stay_apart(law, size):
    values = PRESSED[law](np.random.default_rng(3))
    points = pd.DataFrame({"x": values, "y": values[::-1]})
    ax = _drawing.new_axes(*size)
    ax.scatter(points["x"], points["y"], s=3)
    _drawing.press_skewed(ax, points)
    assert ax.get_xscale() == "asinh"
    FigureCanvasAgg(ax.figure).draw()
    assert_apart(boxes(ax))
    shown = [t.get_text() for t in labels_of_ticks(ax.xaxis)]
    assert len(shown) == len(set(shown)) >= 2


def test_genes__a_single_bar_is_not_fat(tables):
    few = {"genes": tables["genes"].query("role == 'target'").head(1)}
    ax = plot.genes(few, "target")
    (bar, *_) = ax.patches
    low, high = sorted(ax.get_ylim())
    assert bar.get_height() / (high - low) < 0.15


def test_calls_by_strength__bars_fill_each_used_bin(tables):
    ax = plot.calls_by_strength(tables)
    height = sum(np.array([bar.get_height() for bar in container]) for container in ax.containers)
    used = tables["calls_by_strength"].groupby("r2_low")["n_pairs"].sum().to_numpy() > 0
    np.testing.assert_allclose(height, used.astype(float))
    assert len(ax.texts) == used.sum()


def test_pair__shows_points_line_and_curve_of_each_level(result):
    ax = plot.pair(result, *PAIR)
    points = sum(
        len(c.get_offsets()) for c in ax.collections if hasattr(c, "get_sizes") and len(c.get_sizes())
    )
    assert points == 300
    curve = result.linearity.curve(*PAIR)
    drawn = [line for line in ax.lines if len(line.get_xdata())]
    assert [line.get_linestyle() for line in drawn] == ["--", "-"] * 2
    first = curve[curve["level"] == curve["level"].iloc[0]]
    np.testing.assert_allclose(drawn[0].get_ydata(), first["linear"])
    np.testing.assert_allclose(drawn[1].get_ydata(), first["curve"])
    assert ax.get_title() == "non-linear: r² {r2_spline:.2f}, {nonlinear_share:.0%} non-linear".format(
        **result.table.set_index(["regulator", "target"]).loc[PAIR]
    )


def test_pair__many_levels_are_not_told_apart(tables):
    points = pd.DataFrame({"panel": 1, "level": [f"l{i}" for i in range(9)], "x": range(9), "y": range(9)})
    curves = points.assign(linear=0.0, curve=0.0, curve_error=np.nan)
    few = {"gallery": tables["gallery"].head(1), "gallery_points": points, "gallery_curves": curves}
    row = few["gallery"].iloc[0]
    ax = plot.pair(few, row["regulator"], row["target"])
    assert ax.get_legend() is None


def test_plot__refuses_what_it_does_not_know(result, tables):
    with pytest.raises(InputError, match="gallery"):
        plot.pair(tables, "nobody", HOSTILE[0])
    with pytest.raises(InputError, match="nobody"):
        plot.pair(result, "nobody", HOSTILE[0])
    with pytest.raises(InputError, match="role"):
        plot.genes(tables, "both")
    with pytest.raises(InputError, match="part"):
        plot.data_overview(tables, "all")
    with pytest.raises(InputError, match="zeros"):
        plot.data_overview({"depth": tables["depth"]}, "zeros")


def test_plot__nothing_associated():
    data = pd.DataFrame(np.random.default_rng(8).normal(10, 1, (60, 4)), columns=list("abcd"))
    tables = figure_data(audit(data, kind="bulk", scale="additive", threads=1).linearity)
    for draw in (plot.calls_by_strength, plot.share_against_r2, plot.genes, plot.data_overview):
        saved(draw(tables))


# --- triples and pooling curves ----------------------------------------------------------------------

FORK = HOSTILE[1], HOSTILE[0], HOSTILE[2]


@pytest.fixture(scope="module")
def screened():
    """A screen with triples of several calls, every name hostile."""
    random = np.random.default_rng(2)
    y = random.gamma(2.0, size=1200)
    values = dict(zip(FORK, (np.tanh(y), y, y**2 / 5), strict=True)) | {HOSTILE[3]: y, HOSTILE[5]: -y}
    data = pd.DataFrame({name: 9 + of + 0.2 * random.normal(size=1200) for name, of in values.items()})
    data[FORK[1]] = 9 + y
    return screen_triples(data, kind="single-cell", scale="additive", threads=1)


@pytest.fixture(scope="module")
def triple_tables(screened):
    return triple_figure_data(screened) | {"pooling_curves": curves()}


def curves(sizes=(1, 2, 5, 10, 20, 50)):
    """Two measures in three regimes, one of which is not predicted."""
    rows = [
        (regime, k, repeat, 100, measure, k**-0.5 + repeat / 50, k**-0.5 if regime != "between" else np.nan)
        for measure in ("skewness", "share_nonlinear", "n_associated")
        for regime in ("within", "mixed", "between")
        for k in sizes
        for repeat in range(3)
    ]
    return pd.DataFrame(rows, columns=[column.name for column in names.CURVE_COLUMNS])


def of_triple(part):
    def draw(result, ax=None):
        axes = None if ax is None else [ax if i == part else Figure().subplots() for i in range(3)]
        return plot.triple(result, *FORK, axes)[part]

    return draw


MORE = {
    "triple_histogram": plot.triple_histogram,
    "triple_distortion": plot.triple_distortion,
    **{f"triple {part}": of_triple(part) for part in range(3)},
    "skewness": lambda result, ax=None: plot.pooling_curves(result, "skewness", ax),
    "share_nonlinear": lambda result, ax=None: plot.pooling_curves(result, "share_nonlinear", ax),
    "n_associated": lambda result, ax=None: plot.pooling_curves(result, "n_associated", ax),
}


@pytest.mark.parametrize("name", MORE)
def test_plot_of_triples__draws_into_given_axes(triple_tables, name):
    figure = Figure()
    one, other = figure.subplots(1, 2)
    assert MORE[name](triple_tables, ax=one) is one
    assert one.has_data()
    assert not other.has_data()


@pytest.mark.parametrize("name", MORE)
def test_plot_of_triples__is_small_and_leaves_no_global_state(triple_tables, name):
    before = dict(mpl.rcParams)
    for kind in ("pdf", "svg"):
        assert len(saved(MORE[name](triple_tables), kind)) < 300_000
    assert dict(mpl.rcParams) == before


@pytest.mark.parametrize("name", MORE)
def test_plot_of_triples__text_stands_out_and_is_not_cut_off(triple_tables, name):
    ax = MORE[name](triple_tables)
    FigureCanvasAgg(ax.figure).draw()
    said = [t for t in ax.figure.findobj(mpl.text.Text) if t.get_text()]
    assert min(contrast(t.get_color()) for t in said) >= 4.5
    assert min(t.get_fontsize() for t in said) >= 7
    found, page = boxes(ax), ax.figure.bbox
    for box in [*found["x"], *found["y"], *found["other"]]:
        assert box.x0 >= page.x0 - 1
        assert box.x1 <= page.x1 + 1
        assert box.y0 >= page.y0 - 1
        assert box.y1 <= page.y1 + 1
    assert_apart(found)


@pytest.mark.parametrize("name", MORE)
def test_plot_of_triples__hostile_names_are_text(triple_tables, name):
    named = [t for t in texts(MORE[name](triple_tables)) if any(c in t.get_text() for c in "$<[\x1b\u202e")]
    assert not any(t.get_parse_math() for t in named)
    assert not any(c in t.get_text() for t in named for c in "\x1b\u202e")
    if name.startswith("triple "):
        assert len(named) >= 2


def test_plot_of_triples__colours_stand_out_and_marks_differ():
    for colours in (_drawing.TRIPLE_COLOURS, _drawing.THIRD_COLOURS, _drawing.REGIME_COLOURS):
        assert min(contrast(colour) for colour in colours.values()) >= 3
    assert len(set(_drawing.THIRD_MARKERS.values())) == 3
    assert len(set(_drawing.REGIME_MARKERS.values())) == 3
    light = [contrast(_drawing.THIRD_COLOURS[third]) for third in ("low", "middle", "high")]
    assert light == sorted(light)  # darker as the middle gene rises


def test_triple_histogram__shows_every_bin_and_the_margin(screened, triple_tables):
    ax = plot.triple_histogram(triple_tables)
    (mesh,) = (c for c in ax.collections if c.get_array() is not None)
    assert np.nansum(np.ma.filled(mesh.get_array(), 0)) == screened.summary["n_screened"]
    lines = [line.get_xdata()[0] for line in ax.lines if line.get_xdata()[0] == line.get_xdata()[1]]
    assert sorted(lines) == [-0.1, 0.1]
    corners = np.asarray(mesh.get_coordinates())
    counts = np.ma.filled(mesh.get_array(), 0).reshape(corners.shape[0] - 1, -1)
    row = triple_tables["triple_histogram"].sort_values("n").iloc[-1]
    at = np.argmin(np.abs(corners[0, :-1, 0] + 0.025 - row["spline"]))
    up = np.argmin(np.abs(corners[:-1, 0, 1] + 0.025 - row["linear"]))
    assert counts[up, at] >= row["n"]  # across: given the curve; upwards: given the line


def test_triple_distortion__bars_are_the_separated_triples(screened, triple_tables):
    ax = plot.triple_distortion(triple_tables)
    kept, distorted = (sum(bar.get_height() for bar in bars) for bars in ax.containers)
    assert (kept, distorted) == (screened.summary["n_kept"], screened.summary["n_distorted"])
    assert distorted > 0
    assert [t.get_text() for t in ax.get_legend().get_texts()] == ["kept", "distorted (false edge)"]
    hatches = [bars[0].get_hatch() for bars in ax.containers]
    assert (not hatches[0], bool(hatches[1])) == (True, True)
    assert len(ax.containers) == len(SEPARATED)


def test_triple_distortion__bars_of_one_bin_are_stacked():
    table = pd.DataFrame({"call": ["kept", "distorted"], "linear": 0.075, "spline": 0.025, "n": [5, 3]})
    ax = plot.triple_distortion({"triple_histogram": table.assign(margin=0.1)})
    (kept,), (distorted,) = ax.containers
    assert (kept.get_y(), kept.get_height()) == (0, 5)
    assert (distorted.get_y(), distorted.get_height()) == (5, 3)


def test_triple__has_three_pictures_with_their_numbers(screened):
    axes = plot.triple(screened, *FORK)
    assert len({ax.figure for ax in axes}) == 1
    row = screened.table[(screened.table["y"] == FORK[1]) & screened.table["x"].isin(FORK)]
    row = row[row["z"].isin(FORK)].iloc[0]
    for ax, column in zip(axes, ("correlation", "partial_spline", "partial_linear"), strict=True):
        assert ax.get_title().endswith(f"{row[column]:.2f}".replace("-", "\u2212"))
    assert "pools of 10 cells" in axes[2].get_xlabel()
    points = [sum(len(c.get_offsets()) for c in ax.collections) for ax in axes]
    assert points == [500, 500, 120]
    assert [line.get_linestyle() for line in axes[2].lines] == ["-", "--"]  # the slope, the ellipse
    low, high = axes[2].get_xlim()
    assert low < -2.44
    assert high > 2.44  # the whole ellipse is seen


def test_pooling_curves__marks_are_drawings_and_dashes_predictions(triple_tables):
    ax = plot.pooling_curves(triple_tables, "skewness")
    assert ax.get_xscale() == "log"
    assert [len(c.get_offsets()) for c in ax.collections] == [18, 18, 18]
    drawn = [line for line in ax.lines if len(line.get_xdata())]
    assert len(drawn) == 2  # between donors there is no prediction
    for line in drawn:
        assert line.get_linestyle() == "--"
        np.testing.assert_allclose(line.get_ydata(), np.asarray(line.get_xdata()) ** -0.5)
    assert [t.get_text() for t in ax.get_legend().get_texts()] == ["within", "mixed", "between"]


@pytest.mark.parametrize("sizes", [(1, 2), (1, 2, 5), (1, 10, 100, 1000)])
def test_pooling_curves__ticks_are_few_and_different(sizes):
    ax = plot.pooling_curves({"pooling_curves": curves(sizes)}, "skewness")
    FigureCanvasAgg(ax.figure).draw()
    shown = [t.get_text() for t in labels_of_ticks(ax.xaxis)]
    assert 2 <= len(shown) == len(set(shown)) <= 8
    assert_apart(boxes(ax))


def test_plot_of_triples__from_an_audit_and_from_parts(screened, triple_tables):
    random = np.random.default_rng(0)
    data = pd.DataFrame(
        random.gamma(2.0, size=(400, 1)) + random.gamma(2.0, size=(400, 5)), columns=list("abcde")
    )
    whole = audit(data, kind="single-cell", scale="additive", threads=1)
    assert isinstance(plot.triple_histogram(whole), Axes)
    assert isinstance(plot.pooling_curves(whole, "skewness"), Axes)
    assert isinstance(plot.pooling_curves(whole.curves, "skewness"), Axes)
    assert isinstance(plot.triple_distortion(screened), Axes)
    assert [isinstance(ax, Axes) for ax in plot.triple(whole, "a", "b", "c")] == [True] * 3
    without = audit(data, kind="bulk", scale="additive", threads=1, triples="none")
    with pytest.raises(InputError, match="screened triples"):
        plot.triple_histogram(without)
    with pytest.raises(InputError, match="pooling curves"):
        plot.pooling_curves(without)
    with pytest.raises(InputError, match="measure"):
        plot.pooling_curves(triple_tables, "nonsense")
    with pytest.raises(InputError, match="gallery"):
        plot.triple(triple_tables, "a", "b", "c")
    with pytest.raises(InputError, match="triple_histogram"):
        plot.triple_histogram({})
