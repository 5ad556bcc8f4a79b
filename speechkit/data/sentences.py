"""Made-up English sentences by a small grammar, for synthetic corpora of read speech."""

from collections.abc import Sequence
from random import Random

WORDS: dict[str, Sequence[str]] = {
    kind: words.split()
    for kind, words in {
        "determiner": "the the the a this that every my his her our their",
        "adjective": "old young quiet happy angry small large heavy light bright dark green red blue white "
        "golden silver broken clever gentle hungry lonely narrow patient proud simple strange tired warm "
        "cold wooden yellow foolish honest sudden ancient careful distant empty famous",
        "animate": "farmer teacher soldier doctor sailor child woman king queen brother sister father mother "
        "horse dog fox bird lion rabbit stranger captain baker hunter painter singer writer servant prince "
        "shepherd neighbor merchant lawyer student judge giant wolf monkey engineer poet",
        "thing": "apple basket bottle box candle carriage chair clock coat cup door drum fiddle flag flower "
        "garment hammer hat key kettle ladder lamp letter mirror needle paper pencil picture pipe plate ring "
        "rope saddle shoe spoon stone sword table ticket watch window book",
        "place": "barn bridge castle cave church city corner desert field forest garden harbor hill house "
        "island kitchen lake market meadow mill mountain office palace park prison river road school shore "
        "station street tower valley village yard",
        "acted": "bought broke carried cleaned counted dropped found followed forgot gave held hid kept "
        "liked lost loved missed moved needed noticed opened painted pulled pushed reached remembered sold "
        "sent showed stole threw took touched wanted watched",
        "moved": "walked ran climbed danced fell flew hurried jumped marched rested sat slept stood stopped "
        "traveled waited wandered worked sang laughed",
        "near": "in near behind beside beyond under above across toward past",
        "manner": "slowly quickly gladly softly loudly together alone again often never always carefully "
        "suddenly quietly badly happily",
        "name": "alice arthur bertha charles david edith edward frank george helen henry james jane john "
        "margaret martin mary oliver peter robert ruth samuel sarah thomas walter william",
        "said": "said thought knew believed hoped dreamed heard feared",
        "joined": "and but while because before after until when",
        "time": "yesterday today tonight once sometimes later finally afterward",
        "number": "two three four five six seven eight nine ten twenty thirty hundred",
        "plural": "apples boats books children clouds coins days dogs eggs friends hours houses letters men "
        "miles minutes nights people ships songs stars stories trees women years",
    }.items()
}


def vocabulary() -> list[str]:
    """All words that sentences are made of, sorted.

    >>> len(vocabulary()) > 300
    True
    """
    fixed = {"was", "very", "were", "that"}
    return sorted(fixed.union(*WORDS.values()))


def draw_sentence(random: Random) -> str:
    """A sentence of 3 to some 20 words in lower case, without signs.

    >>> draw_sentence(Random(3)).split()[0] in vocabulary()
    True
    """
    shape = random.random()
    if shape < 0.15:
        words = [*_clause(random), _word("joined", random), *_clause(random)]
    elif shape < 0.3:
        words = [_word("time", random), *_clause(random)]
    elif shape < 0.45:
        words = [_word("name", random), _word("said", random), "that", *_clause(random)]
    else:
        words = _clause(random)
    return " ".join(words)


def _clause(random: Random) -> list[str]:
    shape = random.random()
    someone = _someone(random)
    if shape < 0.3:
        return [*someone, _word("acted", random), *_something(random)]
    if shape < 0.5:
        return [*someone, _word("moved", random), _word("near", random), *_noun("place", random)]
    if shape < 0.6:
        return [*someone, _word("moved", random), _word("manner", random)]
    if shape < 0.75:
        return [*someone, "was", *random.choice([[], ["very"]]), _word("adjective", random)]
    where = [_word("near", random), *_noun("place", random)]
    if shape < 0.9:
        return [*someone, _word("acted", random), *_something(random), *where]
    return [*_several(random), "were", *where]


def _someone(random: Random) -> list[str]:
    return [_word("name", random)] if random.random() < 0.25 else _noun("animate", random)


def _something(random: Random) -> list[str]:
    return _several(random) if random.random() < 0.2 else _noun("thing", random)


def _several(random: Random) -> list[str]:
    return [_word("number", random), _word("plural", random)]


def _noun(kind: str, random: Random) -> list[str]:
    adjective = [_word("adjective", random)] if random.random() < 0.4 else []
    return [_word("determiner", random), *adjective, _word(kind, random)]


def _word(kind: str, random: Random) -> str:
    return random.choice(WORDS[kind])
