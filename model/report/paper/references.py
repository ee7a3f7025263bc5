"""BibTeX of the models, metrics and tests: only what an experiment used is written."""

from collections.abc import Iterable

from dataset.snapshots.citation import PAPER

_PAPER_KEY = "wu2019personalized"


def _entry(kind: str, key: str, author: str, title: str, where: str, year: int) -> tuple[str, str]:
    field = "journal" if kind == "article" else "booktitle"
    lines = [f"@{kind}{{{key},", f"  title     = {{{title}}},", f"  author    = {{{author}}},"]
    return key, "\n".join([*lines, f"  {field:<9} = {{{where}}},", f"  year      = {{{year}}}", "}"])


_ENTRIES = {_PAPER_KEY: PAPER} | dict(
    _entry(*row)
    for row in (
        (
            "inproceedings",
            "chen2017acf",
            "Chen, Jingyuan and Zhang, Hanwang and He, Xiangnan and Nie, Liqiang and Liu, Wei and Chua, Tat-Seng",
            "Attentive Collaborative Filtering: Multimedia Recommendation with Item- and Component-Level Attention",
            "SIGIR",
            2017,
        ),
        (
            "inproceedings",
            "wang2017vpoi",
            "Wang, Suhang and Wang, Yilin and Tang, Jiliang and Shu, Kai and Ranganath, Suhas and Liu, Huan",
            "What Your Images Reveal: Exploiting Visual Contents for Point-of-Interest Recommendation",
            "WWW",
            2017,
        ),
        (
            "inproceedings",
            "lei2016cdl",
            "Lei, Chenyi and Liu, Dong and Li, Weiping and Zha, Zheng-Jun and Li, Houqiang",
            "Comparative Deep Learning of Hybrid Representations for Image Recommendations",
            "CVPR",
            2016,
        ),
        (
            "inproceedings",
            "rendle2009bpr",
            "Rendle, Steffen and Freudenthaler, Christoph and Gantner, Zeno and Schmidt-Thieme, Lars",
            "{BPR}: Bayesian Personalized Ranking from Implicit Feedback",
            "UAI",
            2009,
        ),
        (
            "inproceedings",
            "he2016vbpr",
            "He, Ruining and McAuley, Julian",
            "{VBPR}: Visual Bayesian Personalized Ranking from Implicit Feedback",
            "AAAI",
            2016,
        ),
        (
            "inproceedings",
            "he2020lightgcn",
            "He, Xiangnan and Deng, Kuan and Wang, Xiang and Li, Yan and Zhang, Yongdong and Wang, Meng",
            "{LightGCN}: Simplifying and Powering Graph Convolution Network for Recommendation",
            "SIGIR",
            2020,
        ),
        (
            "inproceedings",
            "zhang2021lattice",
            "Zhang, Jinghao and Zhu, Yanqiao and Liu, Qiang and Wu, Shu and Wang, Shuhui and Wang, Liang",
            "Mining Latent Structures for Multimedia Recommendation",
            "ACM Multimedia",
            2021,
        ),
        (
            "inproceedings",
            "zhou2023freedom",
            "Zhou, Xin and Shen, Zhiqi",
            "A Tale of Two Graphs: Freezing and Denoising Graph Structures for Multimodal Recommendation",
            "ACM Multimedia",
            2023,
        ),
        (
            "inproceedings",
            "zhou2023bm3",
            "Zhou, Xin and Zhou, Hongyu and Liu, Yong and Zeng, Zhiwei and Miao, Chunyan and "
            "Wang, Pengwei and You, Yuan and Jiang, Feijun",
            "Bootstrap Latent Representations for Multi-modal Recommendation",
            "WWW",
            2023,
        ),
        (
            "inproceedings",
            "steck2019ease",
            "Steck, Harald",
            "Embarrassingly Shallow Autoencoders for Sparse Data",
            "WWW",
            2019,
        ),
        (
            "inproceedings",
            "ning2011slim",
            "Ning, Xia and Karypis, George",
            "{SLIM}: Sparse Linear Methods for Top-{N} Recommender Systems",
            "ICDM",
            2011,
        ),
        (
            "inproceedings",
            "sarwar2001item",
            "Sarwar, Badrul and Karypis, George and Konstan, Joseph and Riedl, John",
            "Item-Based Collaborative Filtering Recommendation Algorithms",
            "WWW",
            2001,
        ),
        (
            "inproceedings",
            "herlocker1999user",
            "Herlocker, Jonathan L. and Konstan, Joseph A. and Borchers, Al and Riedl, John",
            "An Algorithmic Framework for Performing Collaborative Filtering",
            "SIGIR",
            1999,
        ),
        (
            "article",
            "paudel2017rp3",
            "Paudel, Bibek and Christoffel, Fabian and Newell, Chris and Bernstein, Abraham",
            "Updatable, Accurate, Diverse, and Scalable Recommendations for Interactive Applications",
            "ACM Transactions on Interactive Intelligent Systems",
            2017,
        ),
        (
            "inproceedings",
            "hu2008ials",
            "Hu, Yifan and Koren, Yehuda and Volinsky, Chris",
            "Collaborative Filtering for Implicit Feedback Datasets",
            "ICDM",
            2008,
        ),
        (
            "inproceedings",
            "kang2017visually",
            "Kang, Wang-Cheng and Fang, Chen and Wang, Zhaowen and McAuley, Julian",
            "Visually-Aware Fashion Recommendation and Design with Generative Image Models",
            "ICDM",
            2017,
        ),
        (
            "article",
            "jarvelin2002ndcg",
            'J{\\"a}rvelin, Kalervo and Kek{\\"a}l{\\"a}inen, Jaana',
            "Cumulated Gain-Based Evaluation of {IR} Techniques",
            "ACM Transactions on Information Systems",
            2002,
        ),
        (
            "article",
            "holm1979",
            "Holm, Sture",
            "A Simple Sequentially Rejective Multiple Test Procedure",
            "Scandinavian Journal of Statistics",
            1979,
        ),
        (
            "article",
            "kingma2014adam",
            "Kingma, Diederik P. and Ba, Jimmy",
            "{Adam}: A Method for Stochastic Optimization",
            "arXiv preprint arXiv:1412.6980",
            2014,
        ),
        (
            "article",
            "simonyan2014vgg",
            "Simonyan, Karen and Zisserman, Andrew",
            "Very Deep Convolutional Networks for Large-Scale Image Recognition",
            "arXiv preprint arXiv:1409.1556",
            2014,
        ),
    )
)

_OF_MODEL = {
    "jifr": _PAPER_KEY, "jifr_plus": _PAPER_KEY, "jifr_visual": _PAPER_KEY, "jifr_rating": _PAPER_KEY, "jifr_na": _PAPER_KEY,
    "acf": "chen2017acf", "vpoi": "wang2017vpoi", "cdl": "lei2016cdl", "bpr": "rendle2009bpr", "vbpr": "he2016vbpr",
    "lightgcn": "he2020lightgcn", "lattice": "zhang2021lattice", "freedom": "zhou2023freedom", "bm3": "zhou2023bm3",
    "ease": "steck2019ease", "slim": "ning2011slim", "itemknn": "sarwar2001item", "userknn": "herlocker1999user",
    "rp3beta": "paudel2017rp3", "ials": "hu2008ials", "visrank": "kang2017visually",
}  # fmt: skip
NDCG, HOLM, ADAM, VGG = "jarvelin2002ndcg", "holm1979", "kingma2014adam", "simonyan2014vgg"


def key_of(model: str) -> str | None:
    """Return the BibTeX key of a model, None if it has no paper."""
    return _OF_MODEL.get(model)


def bibtex(keys: Iterable[str], *more: str) -> str:
    """Return the BibTeX of the known among keys, each once, and further entries."""
    return "\n\n".join([*(_ENTRIES[key] for key in dict.fromkeys(keys) if key in _ENTRIES), *more, ""])
