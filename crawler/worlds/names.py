"""Invents titles, people and remarks. Any resemblance to a real title or person is a coincidence."""

from itertools import product

import numpy as np

_ADJECTIVES = (
    ("雾中", "Misty"), ("纸做", "Paper"), ("迟到", "Belated"), ("蓝色", "Blue"), ("远方", "Distant"),
    ("借来", "Borrowed"), ("第九层", "Ninth-Floor"), ("无风", "Windless"), ("盐", "Salted"), ("未寄出", "Unsent"),
    ("半透明", "Translucent"), ("会唱歌", "Singing"), ("午夜", "Midnight"), ("玻璃", "Glass"), ("失重", "Weightless"),
    ("褪色", "Faded"), ("北岸", "Northshore"), ("逆光", "Backlit"), ("梦游", "Sleepwalking"), ("慢速", "Slow"),
    ("倒流", "Backward"), ("青铜", "Bronze"), ("雨季", "Monsoon"), ("沉睡", "Dormant"), ("折叠", "Folded"),
)  # fmt: skip
_NOUNS = (
    ("灯塔", "Lighthouse"), ("邮差", "Postman"), ("果园", "Orchard"), ("车站", "Station"), ("群岛", "Archipelago"),
    ("风筝", "Kite"), ("钟表匠", "Clockmaker"), ("温室", "Greenhouse"), ("渡口", "Ferry"), ("鲸鱼", "Whale"),
    ("剧院", "Playhouse"), ("指南针", "Compass"), ("月台", "Platform"), ("候鸟", "Swallow"), ("海图", "Sea Chart"),
    ("旅馆", "Inn"), ("天文台", "Observatory"), ("牧羊人", "Shepherd"), ("屋顶", "Rooftop"), ("彗星", "Comet"),
    ("图书馆", "Library"), ("雪橇", "Sledge"), ("提琴", "Fiddle"), ("隧道", "Tunnel"), ("庭院", "Courtyard"),
)  # fmt: skip
_SUBTITLES = (("归航", "Homecoming"), ("序章", "Overture"), ("最后的冬天", "The Last Winter"), ("黎明", "Daybreak"))
_SURNAMES = ("沐", "闻人", "澹台", "钟离", "尉迟", "宁", "池", "颜", "麦", "简", "阮", "夏侯")
_GIVEN_NAMES = ("渡舟", "听雪", "拾光", "知微", "望舒", "野渡", "晚棠", "星河", "未央", "南枝", "清和", "照野")
_FOREIGN_NAMES = ("安娜·科尔维", "伊沃·桑德贝里", "米娅·塔洛", "奥托·瓦伦", "露西·阿莫林", "泰奥·贝尔格",
                  "英格丽·霍尔姆", "卡西米尔·诺瓦", "法蒂玛·艾兰", "雷蒙·杜瓦尔")  # fmt: skip
_NICK_FIRST = (("爱看云的", "cloud"), ("失眠的", "sleepless"), ("慢半拍的", "slow"), ("住在海边的", "seaside"),
               ("不吃香菜的", "plain"), ("午后的", "noon"), ("认真的", "earnest"), ("路过的", "passing"))  # fmt: skip
_NICK_LAST = (("橘子", "orange"), ("刺猬", "hedgehog"), ("放映员", "reel"), ("汽水", "soda"),
              ("邮筒", "mailbox"), ("长颈鹿", "giraffe"), ("小岛", "islet"), ("台灯", "lamp"), ("<水母>", "jelly"),
              ("A&B", "ab"))  # fmt: skip
_REMARKS = (
    "镜头很安静，看完想去海边走走。", "前半段慢，后半段 & 结尾都好。", "画面 > 故事，但我喜欢。", "配乐一响就想家。",
    "比想象中好看 <3", "不太懂，但是很美。", "第二遍看才发现伏笔。", "和朋友一起看的，笑了很久。",
    "颜色真好看\n每一帧都想存下来。", "有点长，可以倒一杯茶慢慢看。",
)  # fmt: skip

_STRIDE = 6_007  # has no factor in common with the number of titles, so that neighbours have different words

# The pair of genres of each clique in `tastes`, in the site's words.
CLIQUE_GENRES = (
    ("剧情", "爱情"), ("动作", "犯罪"), ("喜剧", "家庭"), ("科幻", "冒险"),
    ("悬疑", "惊悚"), ("动画", "奇幻"), ("纪录片", "传记"), ("历史", "战争"),
)  # fmt: skip


def invent_titles(n: int, generator: np.random.Generator) -> list[tuple[str, str]]:
    """Return `n` distinct pairs of a Chinese title and its English original."""
    plain = [(f"{a}的{b}", f"The {x} {y}") for (a, x), (b, y) in product(_ADJECTIVES, _NOUNS)]
    paired = [(f"{a}与{b}", f"{x} & {y}") for (a, x), (b, y) in product(_NOUNS, _NOUNS) if a != b]
    with_subtitle = [
        (f"{b}：{c}", f"{y}: {z}") for (b, y), (c, z) in product(_NOUNS, _SUBTITLES)
    ]  # both colons occur on the site
    all_titles = [*plain, *paired, *with_subtitle]
    order = generator.permutation(len(all_titles))
    titles = []
    for i in range(n):
        sequel, which = divmod(i, len(all_titles))
        chinese, english = all_titles[order[which]]
        titles.append((f"{chinese}{sequel + 1}", f"{english} {sequel + 1}") if sequel else (chinese, english))
    return titles


def invent_directors(n: int, generator: np.random.Generator) -> list[str]:
    """Return `n` distinct names of directors, Chinese and transliterated."""
    names = [*_FOREIGN_NAMES, *(f"{a}{b}" for a, b in product(_SURNAMES, _GIVEN_NAMES))]
    return [names[i] for i in generator.permutation(len(names))[: min(n, len(names))]]


def any_title(number: int) -> tuple[str, str]:
    """Return the Chinese and the English title with this number; 15,625 numbers have titles of their own."""
    n_plain, n_nouns = len(_ADJECTIVES) * len(_NOUNS), len(_NOUNS)
    again, place = divmod(number, n_plain * n_nouns)
    adjective, rest = divmod(place * _STRIDE % (n_plain * n_nouns), n_nouns * n_nouns)
    noun, other = divmod(rest, n_nouns)
    (a, x), (b, y), (c, z) = _ADJECTIVES[adjective], _NOUNS[noun], _NOUNS[other]
    chinese, english = (f"{a}的{b}", f"The {x} {y}") if noun == other else (f"{a}的{b}与{c}", f"The {x} {y} & {z}")
    return (f"{chinese}（{again + 1}）", f"{english} ({again + 1})") if again else (chinese, english)


def any_director(number: int) -> str:
    """Return the name with this number; 1,738 numbers have names of their own."""
    n_given = len(_GIVEN_NAMES)
    again, place = divmod(number, len(_FOREIGN_NAMES) + len(_SURNAMES) * n_given * n_given)
    if place < len(_FOREIGN_NAMES):
        name = _FOREIGN_NAMES[place]
    else:
        rest, given = divmod(place - len(_FOREIGN_NAMES), n_given)
        surname, other = rest % len(_SURNAMES), rest // len(_SURNAMES)
        name = f"{_SURNAMES[surname]}{_GIVEN_NAMES[given]}" + (f"·{_GIVEN_NAMES[other]}" if other != given else "")
    return f"{name}（{again + 1}）" if again else name


def invent_nickname(generator: np.random.Generator) -> tuple[str, str]:
    """Return a user's display name, which may need escaping, and an English stem for the slug."""
    chinese_first, first = _NICK_FIRST[generator.integers(len(_NICK_FIRST))]
    chinese_last, last = _NICK_LAST[generator.integers(len(_NICK_LAST))]
    joint = ("", "_", "-", ".")[generator.integers(4)]
    return chinese_first + chinese_last, f"{first}{joint}{last}"


def invent_remark(generator: np.random.Generator) -> str:
    """Return the text of a comment."""
    return _REMARKS[generator.integers(len(_REMARKS))]
