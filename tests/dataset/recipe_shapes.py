"""Invented data sets of the shapes that recipes import."""

from dataclasses import dataclass, field
from pathlib import Path

from dataset.recipes.recipe import known_recipes


@dataclass(frozen=True)
class Shape:
    """Invented files of a data set, with what they hold.

    Attributes:
        files: their content by name.
        rows: (user, item, stars, date) of each rating, as `ratings.parquet` should have them.
        source: the documentation that the columns are transcribed from.
        titles: the titles of items, where the files have them.
        wrong: the content of the ratings file that has another shape.
    """

    files: dict[str, str]
    rows: set[tuple[str, str, float | None, str | None]]
    source: str
    wrong: str
    titles: dict[str, str] = field(default_factory=dict)


COMMA = "user_id,parent_asin,rating,timestamp\n"


MMREC = "userID\titemID\trating\ttimestamp\tx_label\n0\t1\t5.0\t1370000000\t0\n0\t2\t4.0\t1370000001\t1\n"


PAIRS = "user,item,timestamp\n36121,9580,1583378629552\n7,3,1583378700000\n"


SHAPES = {
    "movielens-100k": Shape(
        {"u.data": "196\t242\t3\t881250949\n186\t302\t3\t891717742\n", "u.item": "242|Kolya (1996)|24-Jan-1997||x|0\n"},
        {("196", "242", 3.0, "1997-12-04"), ("186", "302", 3.0, "1998-04-04")},
        "README of ml-100k: user id | item id | rating | timestamp, tab-separated; u.item: movie id | movie title | …",
        "196\t242\t3\n",
        {"242": "Kolya"},
    ),
    "movielens-1m": Shape(
        {"ratings.dat": "1::1193::5::978300760\n2::661::3::978302109\n", "movies.dat": "661::Été (1996)::Drama\n"},
        {("1", "1193", 5.0, "2000-12-31"), ("2", "661", 3.0, "2000-12-31")},
        "README of ml-1m: UserID::MovieID::Rating::Timestamp; MovieID::Title::Genres",
        "1::1193::5\n",
        {"661": "Été"},
    ),
    **{
        name: Shape(
            {
                "ratings.csv": "userId,movieId,rating,timestamp\n1,296,0.5,1147880044\n2,306,5.0,1147868817\n",
                "movies.csv": 'movieId,title,genres\n296,"Fiction, Pulp (1994)",Comedy|Crime\n',
            },
            {("1", "296", 0.5, "2006-05-17"), ("2", "306", 5.0, "2006-05-17")},
            f"README of {folder}: userId,movieId,rating,timestamp; movieId,title,genres",
            "user,movie,rating,timestamp\n1,296,5.0,1147880044\n",
            {"296": "Fiction, Pulp"},
        )
        for name, folder in {"movielens-25m": "ml-25m", "movielens-latest-small": "ml-latest-small"}.items()
    },
    **{
        f"mmrec-{name}": Shape(
            {f"{name}.inter": MMREC + "1\t1\t1.0\t1370000002\t2\n1\t0\t1.0\t1370000002\t0\n"},
            {("0", "1", 5.0, "2013-05-31"), ("0", "2", 4.0, "2013-05-31"),
             ("1", "1", 1.0, "2013-05-31"), ("1", "0", 1.0, "2013-05-31")},
            "MMRec, src/configs/dataset/baby.yaml: USER_ID_FIELD userID, ITEM_ID_FIELD itemID, x_label, tab",
            MMREC.replace("x_label", "split"),
        )
        for name in ("baby", "sports", "clothing")
    },
    "amazon-2023": Shape(
        {"Baby_Products.csv": COMMA + "AGK,0764443682,5.0,1603138500000\nAGL,0913212148,1.0,1523092443644\n"},
        {("AGK", "0764443682", 5.0, "2020-10-19"), ("AGL", "0913212148", 1.0, "2018-04-07")},
        "McAuley-Lab/Amazon-Reviews-2023, benchmark/5core/rating_only: user_id, parent_asin, rating, timestamp (ms)",
        "user_id,asin,rating,timestamp\nAGK,0764443682,5.0,1603138500000\n",
    ),
    "amazon-2023-last-out": Shape(
        {
            "All_Beauty.train.csv": COMMA + "A,B0BGXTQLL1,5.0,1523092443644\n",
            "All_Beauty.valid.csv": COMMA + "A,B0BV5ZGRRM,5.0,1564347303691\n",
            "All_Beauty.test.csv": COMMA + "A,B0BX9Y9RN8,1.0,1574125507636\n",
        },
        {("A", "B0BGXTQLL1", 5.0, "2018-04-07"), ("A", "B0BV5ZGRRM", 5.0, "2019-07-28"),
         ("A", "B0BX9Y9RN8", 1.0, "2019-11-19")},
        "McAuley-Lab/Amazon-Reviews-2023, benchmark/5core/last_out: user_id, parent_asin, rating, timestamp (ms)",
        "user_id,asin,rating,timestamp\nA,0764443682,5.0,1603138500000\n",
    ),
    **{
        f"microlens-{size}": Shape(
            {f"MicroLens-{size}_pairs.csv": PAIRS, f"MicroLens-{size}_titles.csv": "item,title\n3,一只猫\n"},
            {("36121", "9580", None, "2020-03-05"), ("7", "3", None, "2020-03-05")},
            "MicroLens, readme.txt beside the data: user, video, timestamp; covers named by the video",
            "uid,vid,time\n36121,9580,1583378629552\n",
            {"3": "一只猫"},
        )
        for size in ("50k", "100k")
    },
    "pixelrec-50k": Shape(
        {"Pixel50K.csv": "item_id,user_id,timestamp\ni0,u12,1583378629\ni408373,u3,1583378700\n"},
        {("u12", "i0", None, "2020-03-05"), ("u3", "i408373", None, "2020-03-05")},
        "PixelRec, dataset/readme.md: | item_id | user_id | timestamp |, items from i0 to i408373, covers item_id.jpg",
        "item,user,timestamp\ni0,u12,1583378629\n",
    ),
    "kuairec": Shape(
        {
            "big_matrix.csv": "user_id,video_id,play_duration,video_duration,time,date,timestamp,watch_ratio\n"
            "0,3650,13838,10867,2020-07-05 00:08:23.438,20200705,1593878903.438,1.273397\n"
            "0,9598,13665,10984,2020-07-05 00:13:41.297,20200705,1593879221.297,1.244083\n"
        },
        {("0", "3650", None, "2020-07-04"), ("0", "9598", None, "2020-07-04")},
        "KuaiRec, README, section 1: the fields of big_matrix.csv",
        "user_id,photo_id,timestamp\n0,3650,1593878903.438\n",
    ),
    "book-crossing": Shape(
        {
            "BX-Book-Ratings.csv": '"User-ID";"ISBN";"Book-Rating"\n"276725";"034545104X";"0"\n'
            '"276726";"0155061224";"5"\n',
            "BX-Books.csv": '"ISBN";"Book-Title";"Book-Author";"Year-Of-Publication"\n"0155061224";"Été";"X";"2001"\n',
        },
        {("276725", "034545104X", None, None), ("276726", "0155061224", 2.5, None)},
        "the description of BX-Book-Ratings (User-ID, ISBN, Book-Rating from 0 to 10) and BX-Books",
        '"User";"ISBN";"Rating"\n"276725";"034545104X";"0"\n',
        {"0155061224": "Été"},
    ),
    "gowalla-lightgcn": Shape(
        {"train.txt": "0 0 1 2\n1 3\n", "test.txt": "0 3\n1 0\n"},
        {("0", "0", None, None), ("0", "1", None, None), ("0", "2", None, None), ("1", "3", None, None),
         ("0", "3", None, None), ("1", "0", None, None)},
        "LightGCN-PyTorch, code/dataloader.py: a user, then their items, separated by spaces",
        "user,item\nalice,b\n",
    ),
    "tradesy": Shape(
        {
            "tradesy.json": "{'lists': {'bought': ['466', '459'], 'selling': ['1'], 'want': ['459'], 'sold': []}, "
            "'uid': '2'}\n{'lists': {'bought': [], 'selling': [], 'want': [u'23'], 'sold': ['7']}, 'uid': '3'}\n"
        },
        {("2", "466", None, None), ("2", "459", None, None), ("3", "23", None, None)},
        "VBPR-PyTorch, vbpr/datasets/tradesy.py: lines of dictionaries with uid and lists; bought and want count",
        "{'lists': {'bought': ['466']}, 'user': '2'}\n",
    ),
    "elvis": Shape(
        {
            "TRAIN_DEV.csv": "id_user,id_restaurant,reviewId\n0,12,991\n1,7,992\n",
            "TEST.csv": "id_user,id_restaurant,reviewId\n0,7,993\n",
        },
        {("0", "12", None, None), ("1", "7", None, None), ("0", "7", None, None)},
        "ELVis, src/ImgModel.py: original_take/TRAIN_DEV with id_user, id_restaurant, reviewId; the same in TEST",
        "user,restaurant\n0,12\n",
    ),
}  # fmt: skip


TABULAR = [name for name in known_recipes() if name != "yambda-50m"]


def written(shape: Shape, folder: Path) -> Path:
    folder.mkdir(parents=True)
    for name, content in shape.files.items():
        encoding = "latin-1" if name in ("BX-Books.csv", "movies.dat") else "utf-8"
        (folder / name).write_text(content, encoding=encoding)
    return folder
