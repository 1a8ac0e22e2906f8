"""Real data sets, as they were published: counts, kinds and cells that are known from their descriptions."""

from collections.abc import Callable
from pathlib import Path

import pyarrow.compute as pc
import pytest

from ceiba.read import ReadSpec, open_frame

Data = Callable[[str], Path]
pytestmark = pytest.mark.data

ADULT = (
    "age", "workclass", "fnlwgt", "education", "education-num", "marital-status", "occupation", "relationship", "race",
    "sex",     "capital-gain", "capital-loss", "hours-per-week", "native-country", "income",
)  # fmt: skip


def kinds(frame: object) -> str:
    return " ".join({"int64": "i", "double": "f", "string": "t"}.get(str(f.type), str(f.type)) for f in frame.schema)


def test_adult_has_no_header_and_question_marks_after_blanks(data: Data) -> None:
    options = ReadSpec(header=ADULT, missing=("?",))
    train = open_frame(data("adult_census/adult-train.csv.gz"), options)
    test = open_frame(data("adult_census/adult-test.csv.gz"), options)
    assert (train.num_rows, test.num_rows) == (32_561, 16_281)
    assert kinds(train) == kinds(test) == "i t i t i t t t t t i i i t t"
    table = train.to_table()
    assert table.column("workclass").null_count == 1836
    assert table.column("occupation").null_count == 1843
    assert table.column("native-country").null_count == 583
    assert pc.value_counts(table.column("income")).to_pylist() == [
        {"values": "<=50K", "counts": 24_720}, {"values": ">50K", "counts": 7841},
    ]  # fmt: skip
    assert open_frame(data("adult_census/adult-train.csv.gz")).num_rows == 32_561


def test_ames_has_a_mark_and_many_columns(data: Data) -> None:
    frame = open_frame(data("ames_housing/AmesHousing.csv"))
    assert (frame.num_rows, len(frame.names), frame.names[0]) == (2930, 82, "Order")
    assert str(frame.schema.field("SalePrice").type) == "int64"
    assert str(frame.schema.field("Lot Frontage").type) == "int64"
    assert frame.to_table().column("Lot Frontage").null_count == 490


def test_california(data: Data) -> None:
    frame = open_frame(data("california_housing/housing.csv"))
    assert (frame.num_rows, kinds(frame)) == (20_640, "f f f f f f f f f t")
    assert frame.to_table().column("total_bedrooms").null_count == 207


@pytest.mark.parametrize(
    ("name", "rows", "columns"),
    [("concrete.txt", 1030, 9), ("power-plant.txt", 9568, 5), ("naval-propulsion-plant.txt.gz", 11_934, 18)],
)
def test_uci_tables_of_blanks(data: Data, name: str, rows: int, columns: int) -> None:
    frame = open_frame(data(f"uci_regression/{name}"))
    assert (frame.num_rows, len(frame.names)) == (rows, columns)
    assert set(kinds(frame).split()) <= {"f", "i"}


def test_sms_has_unpaired_quotes_and_no_header(data: Data) -> None:
    frame = open_frame(data("sms_spam/sms.tsv"))
    labels = {row["values"]: row["counts"] for row in pc.value_counts(frame.to_table().column("column_1")).to_pylist()}
    assert labels == {"ham": 4827, "spam": 747}


@pytest.mark.parametrize(
    ("name", "rows"),
    [
        ("cola_train", 8551),
        ("cola_dev", 516),
        ("rte_train", 2490),
        ("rte_dev", 277),
        ("mrpc_train", 4076),
        ("mrpc_test", 1725),
    ],
)
def test_glue_tables_lose_no_row_to_quotes(data: Data, name: str, rows: int) -> None:
    assert open_frame(data(f"glue_small/{name}.tsv")).num_rows == rows


def test_thucnews_is_a_table_of_tabs_without_header(data: Data) -> None:
    frame = open_frame(data("thucnews_titles/dev.txt"))
    assert (frame.num_rows, kinds(frame)) == (10_000, "t i")
    assert frame.head(1).to_pylist() == [{"column_1": "体验2D巅峰 倚天屠龙记十大创新概览", "column_2": 8}]


def test_petfinder_has_delimiters_in_cells(data: Data) -> None:
    frame = open_frame(data("petfinder_mini/petfinder-mini.csv"))
    assert frame.num_rows == 5770
    assert sum("," in (v or "") for chunk in frame.column("Description") for v in chunk.to_pylist()) > 1000
    assert set(frame.to_table().column("AdoptionSpeed").to_pylist()) == {0, 1, 2, 3, 4}


def test_movielens_is_latin_1(data: Data) -> None:
    assert open_frame(data("movielens_100k/u.data")).num_rows == 100_000
    items = open_frame(data("movielens_100k/u.item"), ReadSpec(format="csv"))
    assert (items.num_rows, len(items.names)) == (1682, 24)
    assert any("latin-1" in note for note in items.notes)
    assert "Misérables, Les (1995)" in items.to_table().column("column_2").to_pylist()


@pytest.mark.parametrize(("name", "rows"), [("ett/ETTh1.csv", 17_420), ("ett/ETTh2.csv.gz", 17_420)])
def test_moments_are_moments(data: Data, name: str, rows: int) -> None:
    frame = open_frame(data(name))
    assert (frame.num_rows, str(frame.schema.field("date").type)) == (rows, "timestamp[s]")


def test_fashion_mnist_finds_its_labels(data: Data) -> None:
    frame = open_frame(data("fashion_mnist/t10k-images-idx3-ubyte.gz"))
    assert frame.num_rows == 10_000
    assert [row["counts"] for row in pc.value_counts(frame.to_table().column("label")).to_pylist()] == [1000] * 10
    assert frame.schema.field("image").metadata == {b"shape": b"28,28,1"}


def test_parquet_of_texts_and_images(data: Data) -> None:
    assert open_frame(data("ag_news/test_7600.parquet")).num_rows == 7600
    frame = open_frame(data("cifar10_jpg/test.parquet"))
    assert str(frame.schema.field("image").type) == "binary"
    assert sum(len(chunk) for chunk in frame.column("image")) == frame.num_rows == 10_000


def test_texts_keep_every_line(data: Data) -> None:
    path = data("tiny_shakespeare/input.txt")
    lines = open_frame(path).to_table().column("text").to_pylist()
    assert "\n".join(lines) + "\n" == path.read_text(encoding="utf-8")


def test_tables_with_images_beside_them(data: Data) -> None:
    data("houses_table_images/images_96.zip")
    frame = open_frame(data("houses_table_images/houses.csv"), ReadSpec(files="images_96.zip"))
    pictures = [name for name in frame.names if str(frame.schema.field(name).type) == "binary"]
    assert len(pictures) == 4
    assert all(cell[:2] == b"\xff\xd8" for chunk in frame.column(pictures[0]) for cell in chunk.to_pylist())


def test_images_in_a_zip_with_a_folder_for_each_kind(data: Data) -> None:
    frame = open_frame(data("camvid_segmentation/camvid_240x180.zip"))
    assert frame.num_rows == 2 * (367 + 101 + 233)
    assert frame.names == ("file", "image", "label")
