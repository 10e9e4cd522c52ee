"""A table of samples beside a text table of expression."""

import gzip

import anndata
import numpy as np
import pandas as pd
import pytest

from poolproof import InputError
from poolproof.data import read_samples


def expression(names=("s1", "s2", "s3")):
    return anndata.AnnData(np.zeros((len(names), 2)), obs=pd.DataFrame(index=list(names)))


@pytest.mark.parametrize("separator", [",", "\t", ";"])
@pytest.mark.parametrize("zipped", [False, True])
def test_read__columns_matched_by_name_whatever_the_order(tmp_path, separator, zipped):
    text = separator.join(["sample", "cell type", "age"]) + "\n"
    for row in (["s3", "B cell", "5"], ["s1", "T cell", "3"], ["other", "T cell", "9"], ["s2", "", "4"]):
        text += separator.join(row) + "\n"
    path = tmp_path / ("samples.txt.gz" if zipped else "samples.txt")
    path.write_bytes(gzip.compress(text.encode()) if zipped else text.encode())
    adata = expression()
    assert read_samples(path, adata) == ["3 of 3 samples found in the table of samples"]
    assert adata.obs["age"].tolist() == [3, 4, 5]
    assert adata.obs["cell type"].iloc[[0, 2]].tolist() == ["T cell", "B cell"]
    assert pd.isna(adata.obs["cell type"].iloc[1])


def test_read__a_sample_that_the_table_does_not_name_has_missing_values(tmp_path):
    path = tmp_path / "samples.csv"
    path.write_text("sample,batch\ns1,a\ns3,b\n")
    adata = expression()
    assert read_samples(path, adata) == ["2 of 3 samples found in the table of samples"]
    assert adata.obs["batch"].isna().tolist() == [False, True, False]


@pytest.mark.parametrize(
    "names", [("001", "002", "010"), ("1", "2", "3"), ("NA", "null", "x"), ("1.0", "1e3", "7")]
)
def test_read__names_stay_text(tmp_path, names):
    path = tmp_path / "samples.csv"
    path.write_text("sample,batch\n" + "".join(f"{name},{name}b\n" for name in names))
    adata = expression(names)
    read_samples(path, adata)
    assert adata.obs["batch"].tolist() == [f"{name}b" for name in names]


def test_read__header_without_the_first_label_as_R_writes_it(tmp_path):
    path = tmp_path / "samples.tsv"
    path.write_text("batch\tage\ns1\ta\t3\ns2\tb\t4\ns3\ta\tNA\n")
    adata = expression()
    read_samples(path, adata)
    assert adata.obs["batch"].tolist() == ["a", "b", "a"]
    assert adata.obs["age"].iloc[:2].tolist() == [3, 4]
    assert np.isnan(adata.obs["age"].iloc[2])


def test_read__a_separator_inside_a_name_does_not_split_it(tmp_path):
    path = tmp_path / "samples.csv"
    path.write_text('sample,"type; state",n\ns1,"T, naive",1\ns2,B cell,2\ns3,"T, naive",3\n')
    adata = expression()
    read_samples(path, adata)
    assert adata.obs["type; state"].tolist() == ["T, naive", "B cell", "T, naive"]


def test_read__byte_order_mark_is_no_part_of_a_name(tmp_path):
    path = tmp_path / "samples.csv"
    path.write_bytes(b"\xef\xbb\xbfsample,batch\ns1,a\ns2,b\ns3,a\n")
    adata = expression()
    read_samples(path, adata)
    assert adata.obs.columns.tolist() == ["batch"]


CONTENTS = {
    "empty": b"",
    "header only": b"sample,batch\n",
    "one column": b"sample\ns1\ns2\ns3\n",
    "repeated": b"sample,batch\ns1,a\ns1,b\n",
    "other names": b"sample,batch\nx,a\ny,b\n",
    "binary": bytes(range(256)) * 20,
    "zeros": b"\0" * 500,
    "markup": b"sample,batch\n\x1b[31m,a\ny,b\n",
    "ragged": b"sample,batch\ns1,a\ns2,b,c,d\n",
}


@pytest.mark.parametrize("content", CONTENTS.values(), ids=CONTENTS)
def test_read__refused_in_one_line(tmp_path, content):
    path = tmp_path / "samples.csv"
    path.write_bytes(content)
    with pytest.raises(InputError, match="--samples") as raised:
        read_samples(path, expression())
    assert str(raised.value).isprintable()


@pytest.mark.parametrize("damage", ["cut", "flipped"])
def test_read__damaged_gzip_is_refused(tmp_path, damage):
    content = bytearray(
        gzip.compress(b"sample,batch\n" + b"".join(b"s%d,%d\n" % (i, i * 7919) for i in range(2000)))
    )
    if damage == "cut":
        del content[len(content) // 2 :]
    else:
        content[len(content) // 2] ^= 255
    path = tmp_path / "samples.csv.gz"
    path.write_bytes(content)
    with pytest.raises(InputError, match="--samples") as raised:
        read_samples(path, expression())
    assert str(raised.value).isprintable()


@pytest.mark.parametrize("name", ["absent.csv", "."])
def test_read__no_such_file(tmp_path, name):
    with pytest.raises(InputError, match="--samples"):
        read_samples(tmp_path / name, expression())
