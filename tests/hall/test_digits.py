"""Short numbers: few digits, the whole range, and never across a threshold."""

import numpy as np
import pandas as pd
import pytest

from poolproof._digits import BITS, shortened, shortened_table
from poolproof._files import ParquetStream, write_parquet


def test_shortened__is_the_nearest_number_of_so_many_digits():
    random = np.random.default_rng(0)
    values = random.lognormal(0, 100, 10_000) * random.choice([-1, 1], 10_000)
    short = shortened(values)
    assert (np.abs(short / values - 1) <= 2.0 ** -(BITS + 1)).all()
    assert (np.frexp(short)[0] * 2 ** (BITS + 1) % 1 == 0).all()
    assert len(np.unique(shortened(1 + np.linspace(0, 1e-7, 50)))) == 1


@pytest.mark.parametrize("value", [0.0, -0.0, np.inf, -np.inf, np.nan, 1.0, 0.5, np.finfo(float).max, 5e-324])
def test_shortened__special_values_stay_or_go_to_their_neighbour(value):
    short = shortened(np.array([value]))[0]
    if value == 5e-324:
        assert short in (0.0, value)
    else:
        assert np.array_equal(short, value, equal_nan=True)
        assert np.signbit(short) == np.signbit(value)


def test_shortened__no_value_changes_sides():
    around = 0.05 * (1 + np.linspace(-1e-5, 1e-5, 4001))
    values = np.concatenate([around, [np.nextafter(0.05, 0), 0.05, np.nextafter(0.05, 1)]])
    short = shortened(values, threshold=0.05)
    assert ((short <= 0.05) == (values <= 0.05)).all()
    assert not ((shortened(values) <= 0.05) == (values <= 0.05)).all()  # which is why it is needed


def test_files__are_short_in_one_piece_and_in_parts(tmp_path):
    random = np.random.default_rng(0)
    n = 20_000
    table = pd.DataFrame(
        {
            "regulator": random.choice([f"g{i}" for i in range(100)], n),
            "n": np.full(n, 7, dtype=np.int32),
            "q_value": 10.0 ** -random.uniform(0, 300, n),
            "r2_spline": random.random(n),
        }
    )
    table.loc[3, "q_value"] = np.nan
    write_parquet(table, tmp_path / "long.parquet")
    write_parquet(table, tmp_path / "short.parquet", {"q_value": 0.05})
    stream = ParquetStream(tmp_path / "parts.parquet", {"q_value": 0.05})
    for low in range(0, n, 5_000):
        stream(table.iloc[low : low + 5_000])
    assert stream.close()
    whole = pd.read_parquet(tmp_path / "short.parquet")
    pd.testing.assert_frame_equal(whole, shortened_table(table, {"q_value": 0.05}))
    pd.testing.assert_frame_equal(whole, pd.read_parquet(tmp_path / "parts.parquet"))
    pd.testing.assert_frame_equal(whole, table, rtol=2.0**-BITS)
    size = {path.stem: path.stat().st_size for path in tmp_path.iterdir()}
    assert size["short"] < 0.6 * size["long"]
    assert size["parts"] < 0.7 * size["long"]
